import { ServerSocket } from '../runtime/node-socket.js'
import type { AjpInfo } from './ajp-info.js'

/** `req.socket` of a request that came over AJP: the addresses and `encrypted` are those of the web server's client. */
export class AjpSocket extends ServerSocket {
  readonly ajp: AjpInfo

  constructor(ajp: AjpInfo) {
    const { remoteAddress, remotePort, localAddress, serverPort, isSecure } = ajp
    super({ remoteAddress, remotePort, localAddress, localPort: serverPort, encrypted: isSecure })
    this.ajp = ajp
  }
}
