import test from 'ava'
import { adapters } from './adapters.js'
import { routingSuite } from './routing-suite.js'

for (const adapter of adapters) routingSuite(test, adapter)
