// Size limits of a component and its parts. Compilers stay far below; larger input is refused before it costs time or memory.

/** What the operator's budgets require of the rewriting. */
export interface PreparationLimits {
  /** Of each linear memory; a memory that wants more at its start is refused. */
  readonly memoryPages: number;
  /** Elements of each table. */
  readonly tableElements: number;
}

export const DEFAULT_PREPARATION_LIMITS: PreparationLimits = { memoryPages: 128, tableElements: 16_384 };

export const LIMITS = {
  componentBytes: 16 * 1024 * 1024,
  coreModules: 64,
  coreInstances: 256,
  nestedComponents: 128,
  componentDepth: 6,
  /** Declarations of types, imports, aliases, functions and so on, over all nested components. */
  declarations: 50_000,
  types: 10_000,
  /** Parameters or results of one core function. */
  parameters: 128,
  imports: 10_000,
  exports: 10_000,
  functions: 50_000,
  globals: 10_000,
  tables: 4,
  /** Memories that the core instances of one component define together. */
  memories: 4,
  /** The same of what else each instance makes or fills again. */
  instances: { tables: 16, parts: 50_000, elements: 200_000, dataBytes: 16 * 1024 * 1024 },
  elementSegments: 10_000,
  elements: 200_000,
  dataSegments: 10_000,
  bodyBytes: 512 * 1024,
  locals: 2_000,
  nesting: 512,
  /** Blocks, loops and ifs of a function: the engine's parser takes up to 2 KiB for each while it reads that function. */
  blocks: 16_384,
  branchTargets: 10_000,
  /** Types that checking a function may compare, by its size. */
  comparisonsPerByte: 16,
  comparisonsPerBody: 2_000,
  /** All metered core modules together: each head of a loop grows by some twenty bytes. */
  meteredBytes: 32 * 1024 * 1024,
  /** Memory of the engine's compiler for a component, as `compiler-memory.ts` estimates it. */
  compilerBytes: 96 * 1024 * 1024,
} as const;

export const PAGE_BYTES = 65_536;
