// A module that uses a part of the bindings is no worse for it.
#![allow(dead_code)]

use core::ops::Deref;
use core::{mem::MaybeUninit, slice, str};
use std::alloc::{alloc, dealloc, Layout};
use std::cell::UnsafeCell;

/// A policy. One value is made from the settings, then called once per request.
pub trait Policy: Sized + 'static {
    /// Reads the settings. The error is shown to the operator, who gave them.
    fn configure(settings: &[u8]) -> Result<Self, String>;
    /// Decides one request. `so_far` is what the policies before this one came to; `None` for the first.
    fn evaluate(&self, request: &Request, caller: &Caller, so_far: Option<&Outcome>) -> Outcome;
}

/// UTF-8 text in the memory of a call.
#[repr(C)]
pub struct Text {
    data: *const u8,
    bytes: usize,
}

impl Text {
    pub const fn fixed(text: &'static str) -> Text {
        Text { data: text.as_ptr(), bytes: text.len() }
    }

    /// A copy that lives until the answer was read.
    pub fn copy(text: &str) -> Text {
        let data = allocate(text.len(), 1);
        unsafe { core::ptr::copy_nonoverlapping(text.as_ptr(), data, text.len()) };
        Text { data, bytes: text.len() }
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        // The host gives valid UTF-8; what is empty may have no address.
        if self.bytes == 0 { "" } else { unsafe { str::from_utf8_unchecked(slice::from_raw_parts(self.data, self.bytes)) } }
    }
}

#[repr(C)]
pub struct List<T> {
    data: *const T,
    length: usize,
}

impl<T> List<T> {
    pub const fn empty() -> List<T> {
        List { data: core::ptr::null(), length: 0 }
    }

    /// A list that lives until the answer was read. Its items are never dropped: they hold nothing of their own.
    pub fn of(items: Vec<T>) -> List<T> {
        let data = allocate(items.len() * core::mem::size_of::<T>(), core::mem::align_of::<T>()) as *mut T;
        let length = items.len();
        for (i, item) in items.into_iter().enumerate() {
            unsafe { data.add(i).write(item) };
        }
        List { data, length }
    }
}

impl<T> Deref for List<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        if self.length == 0 { &[] } else { unsafe { slice::from_raw_parts(self.data, self.length) } }
    }
}

#[repr(C)]
pub struct Pair<A, B>(pub A, pub B);

#[repr(C)]
pub struct Maybe<T> {
    is_some: u8,
    value: MaybeUninit<T>,
}

impl<T> Maybe<T> {
    pub fn get(&self) -> Option<&T> {
        if self.is_some == 1 { Some(unsafe { self.value.assume_init_ref() }) } else { None }
    }
}

impl Maybe<Text> {
    pub fn text(&self) -> Option<&str> {
        self.get().map(|text| &**text)
    }
}

impl Outcome {
    pub fn allow(reason: &'static str) -> Outcome {
        Outcome::of(OutcomeKind::Allow, reason)
    }
    pub fn deny(reason: &'static str) -> Outcome {
        Outcome::of(OutcomeKind::Deny, reason)
    }
    pub fn abstain(reason: &'static str) -> Outcome {
        Outcome::of(OutcomeKind::Abstain, reason)
    }
    fn of(kind: OutcomeKind, reason: &'static str) -> Outcome {
        Outcome { kind, reason: Text::fixed(reason), rule: Text::fixed(""), labels: List::empty() }
    }
    pub fn with_rule(mut self, rule: &str) -> Outcome {
        self.rule = Text::copy(rule);
        self
    }
    pub fn with_labels(mut self, labels: &[(&str, &str)]) -> Outcome {
        self.labels = List::of(labels.iter().map(|(name, value)| Pair(Text::copy(name), Text::copy(value))).collect());
        self
    }
}

// ---- memory of a call: one chunk that is used again, and what did not fit ------------------------------------------

const CHUNK_BYTES: usize = 64 * 1024;

struct Memory {
    chunk: *mut u8,
    used: usize,
    others: Vec<(*mut u8, Layout)>,
}

/// A module has one thread.
pub struct Single<T>(pub UnsafeCell<T>);
unsafe impl<T> Sync for Single<T> {}

static MEMORY: Single<Memory> = Single(UnsafeCell::new(Memory { chunk: core::ptr::null_mut(), used: 0, others: Vec::new() }));

fn allocate(bytes: usize, align: usize) -> *mut u8 {
    if bytes == 0 {
        return align as *mut u8;
    }
    // No reference to MEMORY outlives this function, and the allocator does not call back.
    let memory = unsafe { &mut *MEMORY.0.get() };
    if memory.chunk.is_null() {
        memory.chunk = take(Layout::from_size_align(CHUNK_BYTES, 16).unwrap());
    }
    let start = (memory.used + align - 1) & !(align - 1);
    match start.checked_add(bytes) {
        Some(end) if end <= CHUNK_BYTES => {
            memory.used = end;
            unsafe { memory.chunk.add(start) }
        }
        _ => {
            let layout = Layout::from_size_align(bytes, align).unwrap();
            let block = take(layout);
            memory.others.push((block, layout));
            block
        }
    }
}

fn take(layout: Layout) -> *mut u8 {
    let block = unsafe { alloc(layout) };
    if block.is_null() { std::process::abort() } else { block }
}

/// The call is over. Called by the exports only.
pub fn forget_call() {
    let memory = unsafe { &mut *MEMORY.0.get() };
    memory.used = 0;
    for (block, layout) in memory.others.drain(..) {
        unsafe { dealloc(block, layout) };
    }
}

/// The answer of the two settings functions, as it lies in memory.
#[repr(C)]
pub struct Settled {
    failed: u8,
    error: Text,
}

impl Settled {
    pub const fn fine() -> Settled {
        Settled { failed: 0, error: Text::fixed("") }
    }
    pub fn of(result: Result<(), String>) -> Settled {
        match result {
            Ok(()) => Settled::fine(),
            Err(error) => Settled { failed: 1, error: Text::copy(&error) },
        }
    }
}

/// # Safety
/// For the host only.
#[cfg_attr(target_arch = "wasm32", export_name = "cabi_realloc")]
pub unsafe extern "C" fn cabi_realloc(old: *mut u8, old_bytes: usize, align: usize, bytes: usize) -> *mut u8 {
    let fresh = allocate(bytes, align);
    if old_bytes != 0 && bytes != 0 {
        core::ptr::copy_nonoverlapping(old, fresh, if old_bytes < bytes { old_bytes } else { bytes });
    }
    fresh
}

/// # Safety
/// For the exports only: the host says where the bytes are.
pub unsafe fn bytes_at<'a>(data: *const u8, bytes: usize) -> &'a [u8] {
    if bytes == 0 { &[] } else { slice::from_raw_parts(data, bytes) }
}

/// Exports a policy under the names of the contract. Once per module.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty) => {
        mod policy_exports {
            #[allow(unused_imports)]
            use super::*;
            use core::cell::UnsafeCell;
            #[allow(unused_imports)]
            use $crate::bindings::*;

            static POLICY: Single<Option<$policy>> = Single(UnsafeCell::new(None));
            static VALIDATED: Single<Settled> = Single(UnsafeCell::new(Settled::fine()));
            static CONFIGURED: Single<Settled> = Single(UnsafeCell::new(Settled::fine()));
            static DECIDED: Single<Option<Outcome>> = Single(UnsafeCell::new(None));

            #[export_name = "EXPORT_PREFIX#validate-settings"]
            unsafe extern "C" fn validate_settings(data: *const u8, bytes: usize) -> *const Settled {
                let result = <$policy as Policy>::configure(bytes_at(data, bytes)).map(|_| ());
                *VALIDATED.0.get() = Settled::of(result);
                VALIDATED.0.get()
            }

            #[export_name = "EXPORT_PREFIX#configure"]
            unsafe extern "C" fn configure(data: *const u8, bytes: usize) -> *const Settled {
                let result = <$policy as Policy>::configure(bytes_at(data, bytes)).map(|policy| *POLICY.0.get() = Some(policy));
                *CONFIGURED.0.get() = Settled::of(result);
                CONFIGURED.0.get()
            }

            #[export_name = "EXPORT_PREFIX#evaluate"]
            unsafe extern "C" fn evaluate(arguments: *const Arguments) -> *const Outcome {
                let arguments = &*arguments;
                let outcome = match &*POLICY.0.get() {
                    Some(policy) => policy.evaluate(&arguments.request, &arguments.caller, arguments.so_far.get()),
                    None => Outcome::deny("not-configured"),
                };
                (*DECIDED.0.get()).insert(outcome) as *const Outcome
            }

            // Each checks what only it can be given: equal functions might be folded into one export.
            #[export_name = "cabi_post_EXPORT_PREFIX#validate-settings"]
            unsafe extern "C" fn post_validate_settings(answer: *const Settled) {
                if answer != VALIDATED.0.get() { std::process::abort() }
                forget_call();
            }

            #[export_name = "cabi_post_EXPORT_PREFIX#configure"]
            unsafe extern "C" fn post_configure(answer: *const Settled) {
                if answer != CONFIGURED.0.get() { std::process::abort() }
                forget_call();
            }

            #[export_name = "cabi_post_EXPORT_PREFIX#evaluate"]
            unsafe extern "C" fn post_evaluate(answer: *const Outcome) {
                if (*DECIDED.0.get()).as_ref().map_or(true, |decided| answer != decided as *const Outcome) { std::process::abort() }
                forget_call();
            }
        }
    };
}
