import { parentPort } from 'node:worker_threads'
import { runTask, type Task } from './campaign-pool.js'

parentPort?.on('message', (task: Task) => {
  void runTask(task).then(outcome => parentPort?.postMessage(outcome))
})
