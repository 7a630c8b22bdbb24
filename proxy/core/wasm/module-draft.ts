// A core module while it is being read: what the readers of its sections share and add to. Never leaves them.

import type { CoreExport, CoreImport, CoreLimits, FunctionType, GlobalType } from "./core-types.ts";

/** Being read: the same as {@link CoreModule}, growing. */
export interface ModuleDraft {
  readonly types: FunctionType[];
  readonly imports: CoreImport[];
  readonly functions: FunctionType[];
  readonly tables: CoreLimits[];
  readonly memories: CoreLimits[];
  readonly globals: GlobalType[];
  readonly exports: Map<string, CoreExport>;
  readonly declaredFunctions: Set<number>;
  readonly bodies: { readonly start: number; readonly end: number }[];
  importedFunctions: number;
  importedTables: number;
  importedMemories: number;
  importedGlobals: number;
  startFunction: number | undefined;
  elementSegments: number;
  elements: number;
  dataSegments: number;
  dataBytes: number;
  dataCount: number | undefined;
}
