import { describe, expect, test } from "bun:test";
import { redactSecrets } from "./redact.ts";

const BASE64 = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";
const key43 = `${BASE64.slice(0, 43)}=`;
const key86 = `${BASE64}${BASE64.slice(0, 22)}==`;
const base32 = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst";

describe("redactSecrets", () => {
  test.each([
    ["Server=tcp:db,1433;User ID=sa;Password=p w:d{1};Encrypt=True", "p w:d{1}"],
    ["mysql --pwd=hunter22 -h db", "hunter22"],
    ["mysql --password hunter22 db", "hunter22"],
    ["DefaultEndpointsProtocol=https;AccountName=a;AccountKey=Zm9vYmFyYmF6cXV4;EndpointSuffix=x", "Zm9vYmFyYmF6cXV4"],
    ["Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=Zm9vYmFyYmF6cXV4", "Zm9vYmFyYmF6cXV4"],
    ["PrimaryKey = Zm9vYmFy", "Zm9vYmFy"],
    ["azcopy https://a.blob/x?sv=2020&sig=aB%2Bcd%3D&se=2030", "aB%2Bcd%3D"],
    [`redis-cli -a ${BASE64.slice(0, 33)}AzCaABCDEF=`, `${BASE64.slice(0, 33)}AzCa`],
    ["-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----", "MIIEabc"],
    ["-----BEGIN PRIVATE KEY----- MIIEcutOff", "MIIEcutOff"],
    [`VSTS_PAT ${base32}`, base32],
    [`${"a".repeat(76)}AZDO12ab`, "AZDO12ab"],
    [`key material ${key43}`, key43],
    [`storage key ${key86} end`, key86],
    [`docker login -p ${BASE64.slice(0, 42)}+ACRabc123`, "ACRabc123"],
    [`aws_secret_access_key ${BASE64.slice(10, 50)}`, BASE64.slice(10, 50)],
    ["az login --client-secret abc8Q~abcdefghijklmnopqrstuvwxyzABCDEFG", "8Q~"],
    ["found abc8Q~abcdefghijklmnopqrstuvwxyzABCDEFG there", "8Q~"],
    ['{"client_secret": "s3cr3t value"}', "s3cr3t"],
    ["refresh_token=0.AXEAabc", "0.AXEAabc"],
    ["--token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.sig_nature-x", "eyJhbGci"],
    ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.sig_nature-x", "sig_nature"],
    ["git clone https://bob:pa@ss@host/repo", "pa@ss"],
    ["curl -H Authorization: Basic Ym9iOnB3 x", "Ym9iOnB3"],
    ['curl -H "authorization: SharedKey acct:Zm9v" http://x', "Zm9v"],
    ["said bearer abcdefghijkl", "abcdefghijkl"],
    ["curl -u bob:hunter22 http://x", "hunter22"],
    ["curl -ubob:hunter22 http://x", "hunter22"],
    ["x-functions-key: abcdefghijklmnop1234", "abcdefghijklmnop1234"],
  ])("hides the secret in %p", (text, secret) => {
    const redacted = redactSecrets(text);
    expect(redacted).not.toContain(secret);
    expect(redacted).toContain("[REDACTED]");
    expect(redactSecrets(redacted)).toBe(redacted);
  });

  test.each([
    "",
    "/usr/bin/python3 /opt/app/main.py --verbose --port=80",
    "curl -H Metadata:true http://169.254.169.254/metadata/instance?api-version=2021-02-01",
    "sort --key=2 file",
    "design=significant shadow",
    "sleep 1000 password",
    "systemctl --user status",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
  ])("leaves %p alone", (text) => {
    expect(redactSecrets(text)).toBe(text);
  });

  test("keeps what surrounds a secret", () => {
    expect(redactSecrets("a https://u:p@h/x?sig=1&se=2 --password=x y")).toBe(
      "a https://[REDACTED]@h/x?sig=[REDACTED]&se=2 --password=[REDACTED] y",
    );
  });

  test("keeps the rest of an element and of its siblings when given one at a time", () => {
    expect(["Authorization: Bearer abc", "http://h/"].map(redactSecrets).join(" ")).toBe("Authorization: [REDACTED] http://h/");
  });

  // A pattern that backtracks without bound would need minutes for these; the runner's own time limit is what fails then.
  const every = "pwd password= private key sig= azca +acr azdo q~ ado key secret token authorization eyJ :// bearer -u accountkey ";
  test.each([
    "-",
    "a",
    "=",
    " ",
    ":",
    "/",
    '"',
    "a-",
    "://a:",
    "eyJ.",
    "eyJa",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "password=a",
    "password= ",
    "key=",
    "authorization: ",
    "sig=",
    "AzCa",
    "Q~",
    "-u a",
    "--a-",
    "secret ",
    "key ",
    "bearer ",
    "\n",
    "pwd=a b",
    'secret:"',
    "a@",
    "A1",
  ])(
    "stays linear on 64 KiB of %p",
    (piece) => {
      const hostile = every + piece.repeat(Math.ceil(65_536 / piece.length));
      const once = redactSecrets(hostile);
      expect(redactSecrets(`${every}${piece}`).length).toBeGreaterThan(0);
      expect(once.length).toBeGreaterThan(0);
    },
    2_000,
  );
});
