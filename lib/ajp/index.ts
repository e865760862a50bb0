export type { AjpInfo } from './ajp-info.js'
export { ajpOf } from './ajp-info.js'
export type { AjpServer, AjpServerOptions, AjpStats } from './ajp-server.js'
export { createAjpServer } from './ajp-server.js'
