/** UTF-8 without a zero at the end. */
typedef struct { const char *data; size_t bytes; } policy_text;
typedef struct { const uint8_t *data; size_t length; } policy_bytes;

/** A string literal as text. */
#define POLICY_TEXT(literal) ((policy_text){ "" literal, sizeof(literal) - 1 })

/** What must be there: traps unless the condition holds, and a module that traps denies. No build option takes it away. */
#define POLICY_MUST(condition) ((condition) ? (void)0 : __builtin_trap())

bool policy_text_equals(policy_text left, policy_text right);
bool policy_text_starts_with(policy_text text, policy_text beginning);
policy_text policy_text_joined(policy_text left, policy_text right);
policy_text policy_text_of_number(uint64_t number);
/** Memory aligned for everything; traps when there is none. Never freed by hand. */
void *policy_allocate(size_t bytes);
