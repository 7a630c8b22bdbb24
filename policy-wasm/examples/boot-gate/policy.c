// User data is for the first minutes after boot: later no caller gets it. The settings say how many minutes, which paths, and what
// becomes of documents that contain them. Narrows: what it does not deny is left to the rules.

#include "bindings/policy.h"

static policy_text paths;
static uint64_t window_seconds;
static bool denies_containing;

typedef struct { policy_text rest; uint64_t number; } policy_lines;

static bool next_line(policy_lines *lines, policy_text *line) {
	policy_text rest = lines->rest;
	if (rest.bytes == 0) return false;
	size_t end = 0;
	while (end < rest.bytes && rest.data[end] != '\n') end++;
	*line = (policy_text){ rest.data, end };
	size_t used = end < rest.bytes ? end + 1 : end;
	lines->rest = (policy_text){ rest.data + used, rest.bytes - used };
	lines->number++;
	return true;
}

/** What follows the word and one blank; false when the line begins otherwise. */
static bool after_word(policy_text line, policy_text word, policy_text *value) {
	if (!policy_text_starts_with(line, word)) return false;
	*value = (policy_text){ line.data + word.bytes, line.bytes - word.bytes };
	return true;
}

static bool parse_minutes(policy_text text, uint64_t *minutes) {
	*minutes = 0;
	for (size_t i = 0; i < text.bytes; i++) {
		if (text.data[i] < '0' || text.data[i] > '9') return false;
		*minutes = *minutes * 10 + (uint64_t)(text.data[i] - '0');
	}
	return text.bytes >= 1 && text.bytes <= 4 && text.data[0] != '0' && *minutes <= 1440;
}

static bool is_segment_letter(char c) {
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/** Segments of lower-case letters, none empty, `.` or `..`, and no slash at the end. */
static bool is_path(policy_text path) {
	size_t at = 0;
	while (at < path.bytes) {
		if (path.data[at] != '/') return false;
		size_t first = ++at, dots = 0;
		for (; at < path.bytes && path.data[at] != '/'; at++) {
			if (!is_segment_letter(path.data[at])) return false;
			dots += path.data[at] == '.';
		}
		if (at == first || (dots == at - first && dots <= 2)) return false;
	}
	return path.bytes > 0;
}

static bool refuse(uint64_t line, policy_text trouble, policy_text *error) {
	*error = policy_text_joined(POLICY_TEXT("line "), policy_text_joined(policy_text_of_number(line), policy_text_joined(POLICY_TEXT(": "), trouble)));
	return false;
}

typedef struct { uint64_t minutes; bool has_containing, denies_containing, has_path; } policy_gate;

static bool parse_line(policy_text line, uint64_t number, policy_gate *gate, policy_text *error) {
	policy_text value;
	if (line.bytes == 0 || line.data[0] == '#') return true;
	if (after_word(line, POLICY_TEXT("minutes "), &value)) {
		if (gate->minutes != 0) return refuse(number, POLICY_TEXT("found minutes twice, want it once"), error);
		if (!parse_minutes(value, &gate->minutes)) return refuse(number, POLICY_TEXT("want minutes from 1 to 1440"), error);
		return true;
	}
	if (after_word(line, POLICY_TEXT("containing "), &value)) {
		if (gate->has_containing) return refuse(number, POLICY_TEXT("found containing twice, want it once"), error);
		gate->has_containing = true;
		gate->denies_containing = policy_text_equals(value, POLICY_TEXT("deny"));
		if (!gate->denies_containing && !policy_text_equals(value, POLICY_TEXT("pass")))
			return refuse(number, POLICY_TEXT("want containing deny, or containing pass"), error);
		return true;
	}
	if (after_word(line, POLICY_TEXT("path "), &value)) {
		if (!is_path(value)) return refuse(number, POLICY_TEXT("want a path in lower case such as /metadata/instance/compute/userdata"), error);
		gate->has_path = true;
		return true;
	}
	return refuse(number, POLICY_TEXT("want minutes, containing, path or a comment"), error);
}

static bool parse_settings(policy_bytes settings, policy_gate *gate, policy_text *error) {
	policy_lines lines = { { (const char *)settings.data, settings.length }, 0 };
	policy_text line;
	while (next_line(&lines, &line)) if (!parse_line(line, lines.number, gate, error)) return false;
	if (gate->minutes == 0) *error = POLICY_TEXT("want a line minutes N");
	else if (!gate->has_containing) *error = POLICY_TEXT("want a line containing deny, or containing pass");
	else if (!gate->has_path) *error = POLICY_TEXT("want at least one line path /…");
	else return true;
	return false;
}

bool policy_validate_settings(policy_bytes settings, policy_text *error) {
	policy_gate gate = { 0 };
	return parse_settings(settings, &gate, error);
}

bool policy_configure(policy_bytes settings, policy_text *error) {
	policy_gate gate = { 0 };
	if (!parse_settings(settings, &gate, error)) return false;
	// What configure was given stays where it is.
	paths = (policy_text){ (const char *)settings.data, settings.length };
	window_seconds = gate.minutes * 60;
	denies_containing = gate.denies_containing;
	return true;
}

typedef enum { POLICY_APART, POLICY_COVERED, POLICY_CONTAINING } policy_relation;

/** Whether the request is for the path or below it, or for a document around it. */
static policy_relation relate(policy_text path, policy_text_list segments) {
	size_t at = 0, i = 0;
	for (; at < path.bytes; i++) {
		if (i == segments.length) return POLICY_CONTAINING;
		size_t first = at + 1;
		for (at = first; at < path.bytes && path.data[at] != '/';) at++;
		if (!policy_text_equals((policy_text){ path.data + first, at - first }, segments.data[i])) return POLICY_APART;
	}
	return POLICY_COVERED;
}

/** The first path that is shut off from this request when the window is closed; empty when none is. */
static policy_text find_gated(const policy_request *request) {
	policy_lines lines = { paths, 0 };
	policy_text line, path;
	while (next_line(&lines, &line)) {
		if (!after_word(line, POLICY_TEXT("path "), &path)) continue;
		policy_relation relation = relate(path, request->segments);
		if (relation == POLICY_COVERED || (relation == POLICY_CONTAINING && denies_containing)) return path;
	}
	return (policy_text){ "", 0 };
}

policy_outcome policy_evaluate(const policy_request *request, const policy_caller *caller, const policy_outcome *so_far_or_null) {
	(void)caller;
	(void)so_far_or_null;
	policy_text path = request->endpoint == POLICY_ENDPOINT_IMDS ? find_gated(request) : (policy_text){ "", 0 };
	if (path.bytes == 0) return (policy_outcome){ .kind = POLICY_OUTCOME_KIND_ABSTAIN, .reason = POLICY_TEXT("not-concerned") };
	if (request->uptime_seconds == 0)
		return (policy_outcome){ .kind = POLICY_OUTCOME_KIND_DENY, .reason = POLICY_TEXT("uptime-unknown"), .rule = path };
	if (request->uptime_seconds < window_seconds)
		return (policy_outcome){ .kind = POLICY_OUTCOME_KIND_ABSTAIN, .reason = POLICY_TEXT("within-boot-window"), .rule = path };
	policy_text_text_pair *label = policy_allocate(sizeof *label);
	*label = (policy_text_text_pair){ POLICY_TEXT("uptime-seconds"), policy_text_of_number(request->uptime_seconds) };
	return (policy_outcome){
		.kind = POLICY_OUTCOME_KIND_DENY, .reason = POLICY_TEXT("boot-window-closed"), .rule = path, .labels = { label, 1 },
	};
}
