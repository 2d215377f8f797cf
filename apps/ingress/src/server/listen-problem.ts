/** Why an ingress cannot listen at this address, and what its operator can do about it. */
export function listenProblem(error: NodeJS.ErrnoException, host: string, port: number): string {
  const at = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return `cannot listen on ${at}: another process uses this port (EADDRINUSE); stop it, or choose another port with --port or listen.port`;
    case 'EACCES':
      return `cannot listen on ${at}: this user may not use the port (EACCES); choose one above 1023 with --port or listen.port`;
    case 'EADDRNOTAVAIL':
      return `cannot listen on ${at}: this machine does not have the address (EADDRNOTAVAIL); set listen.host`;
    default:
      return `cannot listen on ${at}: ${error.message}`;
  }
}
