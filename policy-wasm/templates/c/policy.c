// Keeps everyone but root away from the paths that the settings name, one per line; lines that begin with # are comments.
// All else is left to other policies: a module that is not concerned abstains.

#include "bindings/policy.h"

static policy_text paths;

/** Takes the first line off `rest`; false when nothing is left. */
static bool next_line(policy_text *rest, policy_text *line) {
	if (rest->bytes == 0) return false;
	size_t end = 0;
	while (end < rest->bytes && rest->data[end] != '\n') end++;
	*line = (policy_text){ rest->data, end };
	size_t used = end < rest->bytes ? end + 1 : end;
	*rest = (policy_text){ rest->data + used, rest->bytes - used };
	return true;
}

static bool is_path(policy_text line) { return line.bytes > 0 && line.data[0] != '#'; }

static bool is_segment_letter(char c) {
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/** What is wrong with a path; empty when nothing is. */
static policy_text find_trouble(policy_text path) {
	if (path.data[0] != '/') return POLICY_TEXT("want a path that begins with /");
	for (size_t i = 0; i < path.bytes; i++) {
		bool ends = i + 1 == path.bytes || path.data[i + 1] == '/';
		if (path.data[i] == '/' && ends) return POLICY_TEXT("found an empty segment");
		if (path.data[i] != '/' && !is_segment_letter(path.data[i])) return POLICY_TEXT("want a-z, 0-9 and - . _ only");
	}
	return POLICY_TEXT("");
}

bool policy_validate_settings(policy_bytes settings, policy_text *error) {
	policy_text rest = { (const char *)settings.data, settings.length }, line;
	for (uint64_t number = 1; next_line(&rest, &line); number++) {
		policy_text trouble = is_path(line) ? find_trouble(line) : POLICY_TEXT("");
		if (trouble.bytes == 0) continue;
		*error = policy_text_joined(POLICY_TEXT("line "), policy_text_joined(policy_text_of_number(number), policy_text_joined(POLICY_TEXT(": "), trouble)));
		return false;
	}
	return true;
}

bool policy_configure(policy_bytes settings, policy_text *error) {
	if (!policy_validate_settings(settings, error)) return false;
	// What configure was given stays where it is.
	paths = (policy_text){ (const char *)settings.data, settings.length };
	return true;
}

/** The path covers the request: all its segments are the request's first ones. */
static bool covers(policy_text path, policy_text_list segments) {
	size_t at = 0;
	for (size_t i = 0; at < path.bytes; i++) {
		size_t first = at + 1;
		for (at = first; at < path.bytes && path.data[at] != '/';) at++;
		if (i >= segments.length || !policy_text_equals((policy_text){ path.data + first, at - first }, segments.data[i])) return false;
	}
	return true;
}

policy_outcome policy_evaluate(const policy_request *request, const policy_caller *caller, const policy_outcome *so_far_or_null) {
	(void)so_far_or_null;
	policy_text rest = paths, line;
	while (!caller->elevated && next_line(&rest, &line)) {
		if (!is_path(line) || !covers(line, request->segments)) continue;
		return (policy_outcome){ .kind = POLICY_OUTCOME_KIND_DENY, .reason = POLICY_TEXT("path-not-for-users"), .rule = line };
	}
	return (policy_outcome){ .kind = POLICY_OUTCOME_KIND_ABSTAIN, .reason = POLICY_TEXT("not-concerned") };
}
