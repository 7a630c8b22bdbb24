import { expect, test } from "bun:test";
import { isStopJob } from "./release.ts";

test.each([
  ["  123 azure-proxy-agent.service stop running\n", true],
  ["124 azure-proxy-agent.service restart running", false],
  ["125 azure-proxy-agent.service start waiting", false],
  ["126 other.service stop running\n127 azure-proxy-agent.service stop waiting", true],
  ["128 azure-proxy-agent.socket stop running", false],
  ["No jobs running.", false],
  ["", false],
])("is %p a stop for good: %p", (jobs, stopped) => {
  expect(isStopJob(jobs)).toBe(stopped);
});
