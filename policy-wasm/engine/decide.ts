// The decision of a rule set. A privilege covers a request when its path is a prefix of whole segments, every query
// parameter it names has the value it names, and the method is one it names. One grant is enough; covered but not granted is
// a deny; default access is only for requests that no privilege covers. A constrained parameter with two different values is
// refused: the host might believe the other one.

import { allocate, sameBytes } from "./memory";
import * as A from "./arguments";
import { findIdentities } from "./callers";
import * as L from "./layout";
import * as T from "./tables";

/** In place of a parameter: the name came with two or more different values. */
const AMBIGUOUS: u32 = 0xfffffffe;

/** The names in the request's query that rules know; the method is under one of its own. */
let touched: u32 = 0;
let method: u32 = 0;
let ambiguous: bool = false;
/** Name of the first (deepest) privilege that covers the request, or NONE. */
let covering: u32 = L.NONE;
let identities: u32 = 0;

export function decide(args: usize): usize {
  if (<u32>load<u8>(args + A.REQUEST_ENDPOINT) != T.header(L.H_ENDPOINT)) return A.answer(A.DENY, "wrong-endpoint", 0, 0);
  T.nextGeneration();
  covering = L.NONE;
  touched = 0;
  noteMethod(<u32>load<u8>(args + A.REQUEST_METHOD));
  readQuery(args + A.REQUEST_QUERY);
  const depth = walkPath(args + A.REQUEST_SEGMENTS);
  if (ambiguous) {
    const constrainedBy = findAmbiguous(depth);
    if (constrainedBy != L.NONE) return A.answer(A.DENY, "ambiguous-query", T.textAt(constrainedBy), T.textBytes(constrainedBy));
  }
  for (let d = <i32>depth; d >= 0; d--) {
    const granted = decideAt(args, load<u32>(T.nodeSlot(d)));
    if (granted != 0) return granted;
  }
  if (covering != L.NONE) return A.answer(A.DENY, "not-granted", T.textAt(covering), T.textBytes(covering));
  if (T.header(L.H_DEFAULT_ALLOW) == 1) return A.answer(A.ALLOW, "default-allow", 0, 0);
  return A.answer(A.DENY, "default-deny", 0, 0);
}

/** The request's method, as one more parameter, when rules want it. */
function noteMethod(number: u32): void {
  if (number >= L.METHOD_COUNT) unreachable();
  method = number;
  const parameter = T.header(L.H_METHODS + number);
  if (parameter == L.NONE) return;
  const name = load<u32>(T.row(L.S_PARAMETERS, parameter, 4));
  const state = T.nameState(name);
  T.touch(state);
  store<u32>(state, 0, 4);
  store<u32>(state, 0, 8);
  store<u32>(state, parameter, 12);
  store<u32>(T.touchedSlot(touched++), name);
}

/** Notes, for each query name that rules know, its value or that it has several. One pass, whatever the caller repeats. */
function readQuery(list: usize): void {
  ambiguous = false;
  if (T.header(L.H_NAMES) == 0) return;
  const nodes = T.count(L.S_NODES);
  const pairs = <usize>load<u32>(list);
  const size = load<u32>(list, 4);
  for (let i: u32 = 0; i < size; i++) {
    const pair = pairs + <usize>i * A.QUERY_PARAMETER_BYTES;
    const name = T.findText(nodes + L.SCOPE_QUERY_NAMES, load<u32>(pair, A.QUERY_PARAMETER_NAME), load<u32>(pair, A.QUERY_PARAMETER_NAME + 4));
    if (name == L.NONE) continue;
    const state = T.nameState(name);
    const value = load<u32>(pair, A.QUERY_PARAMETER_VALUE);
    const bytes = load<u32>(pair, A.QUERY_PARAMETER_VALUE + 4);
    if (!T.isTouched(state)) {
      T.touch(state);
      store<u32>(state, value, 4);
      store<u32>(state, bytes, 8);
      store<u32>(state, T.findText(nodes + L.SCOPE_VALUES + name, value, bytes), 12);
      store<u32>(T.touchedSlot(touched++), name);
    } else if (load<u32>(state, 8) != bytes || !sameBytes(load<u32>(state, 4), value, bytes)) {
      store<u32>(state, AMBIGUOUS, 12);
      ambiguous = true;
    }
  }
}

/** Follows the request's segments through the tree of rule paths; returns the depth of the last node. */
function walkPath(list: usize): u32 {
  const segments = <usize>load<u32>(list);
  const size = load<u32>(list, 4);
  let node: u32 = 0;
  let depth: u32 = 0;
  store<u32>(T.nodeSlot(0), 0);
  while (depth < size) {
    const segment = segments + <usize>depth * A.STRING_BYTES;
    node = T.findText(node, load<u32>(segment), load<u32>(segment, 4));
    if (node == L.NONE) break;
    depth++;
    store<u32>(T.nodeSlot(depth), node);
  }
  return depth;
}

/** Name of a privilege for the request's path and method that constrains a parameter with several values, or NONE. */
function findAmbiguous(depth: u32): u32 {
  const nodes = T.count(L.S_NODES);
  for (let i: u32 = 0; i < touched; i++) {
    const name = load<u32>(T.touchedSlot(i));
    if (load<u32>(T.nameState(name), 12) != AMBIGUOUS) continue;
    for (let d = <i32>depth; d >= 0; d--) {
      const left = nodes + load<u32>(T.nodeSlot(d));
      let constrained = T.findPair(left, name * 8);
      if (constrained == 0) constrained = T.findPair(left, name * 8 + 1 + method);
      if (constrained != 0) return load<u32>(constrained);
    }
  }
  return L.NONE;
}

/** Tries the privileges whose path ends at this node; returns the outcome when one grants, else 0. */
function decideAt(args: usize, node: u32): usize {
  const entry = T.row(L.S_NODES, node, 8);
  if (load<u32>(entry, 4) != 0) {
    for (let i: u32 = 0; i < touched; i++) {
      const parameter = load<u32>(T.nameState(load<u32>(T.touchedSlot(i))), 12);
      if (parameter == L.NONE || parameter == AMBIGUOUS) continue;
      const list = T.findPair(node, parameter);
      if (list == 0) continue;
      const first = load<u32>(list);
      const size = load<u32>(list, 4);
      for (let k: u32 = 0; k < size; k++) {
        const pattern = load<u32>(T.row(L.S_PATTERN_LISTS, first + k, 4));
        if (!constraintsHold(pattern)) continue;
        const granted = grantOf(args, pattern);
        if (granted != 0) return granted;
      }
    }
  }
  const plain = load<u32>(entry);
  return plain == L.NONE ? 0 : grantOf(args, plain);
}

function constraintsHold(pattern: u32): bool {
  const entry = T.row(L.S_PATTERNS, pattern, 12);
  const first = load<u32>(entry, 4);
  const size = load<u32>(entry, 8);
  for (let i: u32 = 0; i < size; i++) {
    const parameter = load<u32>(T.row(L.S_CONSTRAINTS, first + i, 4));
    const state = T.nameState(load<u32>(T.row(L.S_PARAMETERS, parameter, 4)));
    if (!T.isTouched(state) || load<u32>(state, 12) != parameter) return false;
  }
  return true;
}

/** The pattern covers the request: an outcome if one of the caller's identities is granted it, else 0. */
function grantOf(args: usize, pattern: u32): usize {
  if (covering == L.NONE) {
    covering = load<u32>(T.row(L.S_PATTERNS, pattern, 12));
    identities = findIdentities(args, T.currentGeneration());
  }
  const left = 2 * T.count(L.S_NODES) + pattern;
  for (let i: u32 = 0; i < identities; i++) {
    const identity = T.row(L.S_IDENTITIES, load<u32>(T.foundIdentitySlot(i)), L.IDENTITY_BYTES);
    const grant = T.findPair(left, load<u32>(identity, L.IDENTITY_CLASS));
    if (grant == 0) continue;
    const member = load<u32>(grant, 4);
    if (member >= load<u32>(identity, L.IDENTITY_NAME_COUNT)) unreachable();
    const holder = load<u32>(T.row(L.S_IDENTITY_NAMES, load<u32>(identity, L.IDENTITY_FIRST_NAME) + member, 4));
    return answerGranted(load<u32>(grant), holder);
  }
  return 0;
}

function answerGranted(privilege: u32, identity: u32): usize {
  const privilegeBytes = T.textBytes(privilege);
  const identityBytes = T.textBytes(identity);
  const rule = allocate(<usize>privilegeBytes + 1 + <usize>identityBytes, 1);
  memory.copy(rule, T.textAt(privilege), privilegeBytes);
  store<u8>(rule + privilegeBytes, 0x2f);
  memory.copy(rule + privilegeBytes + 1, T.textAt(identity), identityBytes);
  return A.answer(A.ALLOW, "granted", rule, privilegeBytes + 1 + identityBytes);
}
