// Every metric of the agent: name, type and help. docs/operations.md has the same list, and a test compares the two.
// Labels never name users, programs, paths or processes.

import type { Metric } from "./exposition.ts";

const counter = (name: string, help: string): Metric => ({ name, type: "counter", help });
const gauge = (name: string, help: string): Metric => ({ name, type: "gauge", help });
const histogram = (name: string, help: string): Metric => ({ name, type: "histogram", help });

export const METRICS = {
  // ---- requests ---------------------------------------------------------------------------------------------------
  requests: counter("azure_proxy_agent_requests_total", "Requests by endpoint, what became of them, and what decided or failed."),
  endorsed: counter("azure_proxy_agent_endorsed_requests_total", "Requests that left for the host with a signature."),
  identify: histogram("azure_proxy_agent_identify_seconds", "From accept until the caller of a connection was known."),
  policy: histogram("azure_proxy_agent_policy_seconds", "Canonical form, built-in refusals and policy of one request."),
  host: histogram("azure_proxy_agent_host_seconds", "From sending a request to the host until its whole answer had been passed on."),
  total: histogram("azure_proxy_agent_request_seconds", "From a request's head until its end."),
  malformedHeads: counter("azure_proxy_agent_malformed_heads_total", "Heads that were refused before they were requests."),
  moduleOutcomes: counter("azure_proxy_agent_module_outcomes_total", "What policy modules answered."),
  // ---- policy and key ---------------------------------------------------------------------------------------------
  epoch: gauge("azure_proxy_agent_policy_epoch", "Changes of rules, channel or key since the start."),
  policyFailures: counter(
    "azure_proxy_agent_policy_failures_total",
    "Requests refused because the policy itself failed or none was usable.",
  ),
  rulesRefused: gauge("azure_proxy_agent_rules_refused", "1 while the platform's newest rules, or a wanted local file, are not in force."),
  mode: gauge("azure_proxy_agent_mode", "1 for the mode that is in force."),
  keyState: gauge("azure_proxy_agent_key_state", "1 for the state of the secure channel."),
  // ---- host -------------------------------------------------------------------------------------------------------
  polls: counter("azure_proxy_agent_host_polls_total", "Questions to the host for its status, by outcome."),
  contactTime: gauge("azure_proxy_agent_host_contact_timestamp_seconds", "When the host last answered with a status; 0 means never."),
  contactAge: gauge("azure_proxy_agent_host_contact_age_seconds", "Since then, or since the start, on the monotonic clock."),
  // ---- connections and the kernel ---------------------------------------------------------------------------------
  connections: gauge("azure_proxy_agent_connections_open", "Client connections now."),
  connectionsRefused: counter("azure_proxy_agent_connections_refused_total", "Connections refused because a share was used up."),
  connectionsEvicted: counter(
    "azure_proxy_agent_connections_evicted_total",
    "Idle connections of the user with the most that were closed to make room for another user's.",
  ),
  redirected: gauge("azure_proxy_agent_redirected", "1 while connects to the endpoint are redirected in the kernel."),
  connects: counter("azure_proxy_agent_kernel_connects_total", "Connects to guarded endpoints, by what the kernel programs did."),
  recordsPublished: counter(
    "azure_proxy_agent_records_published_total",
    "Records of established clients that were put into the kernel's map.",
  ),
  recordsTaken: counter("azure_proxy_agent_records_taken_total", "Records that went to the accepted socket of their client."),
  recordsCleaned: counter(
    "azure_proxy_agent_records_cleaned_total",
    "Records that went with their client's socket before it was accepted.",
  ),
  recordsLost: counter("azure_proxy_agent_records_lost_total", "Records that could not be kept because their user had its share."),
  recordMisses: counter("azure_proxy_agent_record_misses_total", "Accepted connections without a record."),
  records: gauge("azure_proxy_agent_records", "Records in the map now: clients that are established and not accepted."),
  // ---- decision trail ---------------------------------------------------------------------------------------------
  trailRecords: counter("azure_proxy_agent_trail_records_total", "Decisions written to the decision trail."),
  trailLost: counter("azure_proxy_agent_trail_lost_total", "Decisions that the trail lacks because it could not be written."),
  trailFailures: counter("azure_proxy_agent_trail_write_failures_total", "Failed writes of the decision trail."),
  trailBytes: gauge("azure_proxy_agent_trail_bytes", "Size of all segments of the decision trail."),
  // ---- the process ------------------------------------------------------------------------------------------------
  buildInfo: gauge("azure_proxy_agent_build_info", "1, labelled with the versions."),
  starts: counter("azure_proxy_agent_starts_total", "Starts of the agent since its state folder was made."),
  logDropped: counter("azure_proxy_agent_log_lines_dropped_total", "Log lines that were lost because their reader stalled."),
  processStart: gauge("azure_proxy_agent_process_start_time_seconds", "When the process started, in seconds since 1970."),
  processCpu: counter("azure_proxy_agent_process_cpu_seconds_total", "Processor time, user and system."),
  processMemory: gauge("azure_proxy_agent_process_resident_memory_bytes", "Resident memory."),
} as const satisfies Readonly<Record<string, Metric>>;
