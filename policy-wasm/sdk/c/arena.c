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
