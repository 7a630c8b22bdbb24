// Generated from policy-wasm/wit/policy.wit by scripts/build-bindings.ts; do not edit.
// Memory of a call, and the exports in the canonical ABI. Nothing here is for authors to call.

#include "policy.h"

extern unsigned char __heap_base;
/** Below floor: what configure left. From there to top: what belongs to this call. */
static uintptr_t floor_address, top;

static void *reserve(size_t bytes, size_t align) {
	if (floor_address == 0) floor_address = top = (uintptr_t)&__heap_base;
	uintptr_t start = (top + align - 1) & ~(uintptr_t)(align - 1);
	uintptr_t end = start + bytes;
	if (start < top || end < start) __builtin_trap();
	uintptr_t have = (uintptr_t)__builtin_wasm_memory_size(0) << 16;
	if (end > have && __builtin_wasm_memory_grow(0, (end - have + 0xffff) >> 16) == (size_t)-1) __builtin_trap();
	top = end;
	return (void *)start;
}

static void policy_keep(void) { floor_address = top; }
static void policy_forget(void) { top = floor_address; }

void *policy_allocate(size_t bytes) { return reserve(bytes, 16); }

// clang may call these for plain assignments; the build forbids it to see them in their own bodies.
void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
	for (size_t i = 0; i < bytes; i++) ((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
	return to;
}

void *memset(void *at, int value, size_t bytes) {
	for (size_t i = 0; i < bytes; i++) ((unsigned char *)at)[i] = (unsigned char)value;
	return at;
}

int memcmp(const void *left, const void *right, size_t bytes) {
	for (size_t i = 0; i < bytes; i++) {
		int difference = ((const unsigned char *)left)[i] - ((const unsigned char *)right)[i];
		if (difference != 0) return difference;
	}
	return 0;
}

bool policy_text_starts_with(policy_text text, policy_text beginning) {
	return text.bytes >= beginning.bytes && memcmp(text.data, beginning.data, beginning.bytes) == 0;
}

bool policy_text_equals(policy_text left, policy_text right) {
	return left.bytes == right.bytes && policy_text_starts_with(left, right);
}

policy_text policy_text_joined(policy_text left, policy_text right) {
	if (left.bytes + right.bytes < left.bytes) __builtin_trap();
	char *joined = reserve(left.bytes + right.bytes, 1);
	memcpy(joined, left.data, left.bytes);
	memcpy(joined + left.bytes, right.data, right.bytes);
	return (policy_text){ joined, left.bytes + right.bytes };
}

policy_text policy_text_of_number(uint64_t number) {
	char *end = (char *)reserve(20, 1) + 20, *at = end;
	do *--at = (char)('0' + number % 10); while ((number /= 10) != 0);
	return (policy_text){ at, (size_t)(end - at) };
}

__attribute__((export_name("cabi_realloc")))
void *policy_cabi_realloc(void *old, size_t old_bytes, size_t align, size_t bytes) {
	void *fresh = reserve(bytes, align);
	if (old != NULL && old_bytes != 0) memcpy(fresh, old, old_bytes < bytes ? old_bytes : bytes);
	return fresh;
}

static struct { bool failed; policy_text error; } validate_settings_answer;
_Static_assert(sizeof(validate_settings_answer) == 12, "layout of the answer");
__attribute__((export_name("azure:proxy-agent-policy/authorizer@1.0.0#validate-settings")))
void *policy_export_validate_settings(const uint8_t *data, size_t length) {
	validate_settings_answer.error = (policy_text){ "", 0 };
	validate_settings_answer.failed = !policy_validate_settings((policy_bytes){ data, length }, &validate_settings_answer.error);
	return &validate_settings_answer;
}
__attribute__((export_name("cabi_post_azure:proxy-agent-policy/authorizer@1.0.0#validate-settings")))
void policy_post_validate_settings(const void *answer) {
	// Each compares its own address: equal functions might be folded into one export.
	if (answer != &validate_settings_answer) __builtin_trap();
	policy_forget();
}

static struct { bool failed; policy_text error; } configure_answer;
_Static_assert(sizeof(configure_answer) == 12, "layout of the answer");
__attribute__((export_name("azure:proxy-agent-policy/authorizer@1.0.0#configure")))
void *policy_export_configure(const uint8_t *data, size_t length) {
	configure_answer.error = (policy_text){ "", 0 };
	configure_answer.failed = !policy_configure((policy_bytes){ data, length }, &configure_answer.error);
	return &configure_answer;
}
__attribute__((export_name("cabi_post_azure:proxy-agent-policy/authorizer@1.0.0#configure")))
void policy_post_configure(const void *answer) {
	// Each compares its own address: equal functions might be folded into one export.
	if (answer != &configure_answer) __builtin_trap();
	policy_keep();
}

static policy_outcome evaluate_answer;
_Static_assert(sizeof(evaluate_answer) == 28, "layout of the answer");
struct evaluate_arguments { policy_request request; policy_caller caller; policy_outcome_option so_far; };
__attribute__((export_name("azure:proxy-agent-policy/authorizer@1.0.0#evaluate")))
void *policy_export_evaluate(const struct evaluate_arguments *args) {
	evaluate_answer = policy_evaluate(&args->request, &args->caller, args->so_far.is_some ? &args->so_far.value : NULL);
	return &evaluate_answer;
}
__attribute__((export_name("cabi_post_azure:proxy-agent-policy/authorizer@1.0.0#evaluate")))
void policy_post_evaluate(const void *answer) {
	// Each compares its own address: equal functions might be folded into one export.
	if (answer != &evaluate_answer) __builtin_trap();
	policy_forget();
}
