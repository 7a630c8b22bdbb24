// How the core modules of a validated component are linked, as plain data: what a small interpreter needs to run a component
// without any generated code. Made by the validator from a component it has wholly understood; names are data here, never code.

/** Something that a core instance exports. */
export interface CoreItem {
  readonly sort: "func" | "table" | "memory" | "global";
  /** Index into {@link ComponentPlan.instances}; only earlier instances are ever named. */
  readonly instance: number;
  readonly name: string;
}

export type CoreInstance =
  /** A core module instantiated with earlier instances as its import modules. */
  | {
      readonly kind: "module";
      readonly module: number;
      readonly imports: readonly { readonly name: string; readonly instance: number }[];
    }
  /** A bundle of items of earlier instances under new names. */
  | { readonly kind: "bundle"; readonly exports: readonly { readonly name: string; readonly item: CoreItem }[] };

/** One function of the world: a core function and how its arguments and results lie in memory. */
export interface LiftedFunction {
  readonly function: CoreItem;
  readonly memory: CoreItem;
  readonly realloc: CoreItem;
  readonly postReturn: CoreItem | undefined;
  readonly encoding: "utf8" | "utf16";
}

export interface ComponentPlan {
  /** Version of the policy world whose authorizer is exported, such as `1.0.0`. */
  readonly worldVersion: string;
  readonly moduleCount: number;
  readonly instances: readonly CoreInstance[];
  readonly validateSettings: LiftedFunction;
  readonly configure: LiftedFunction;
  readonly evaluate: LiftedFunction;
}

/** A component that was checked and metered: what the store keeps and the daemon loads. */
export interface PreparedComponent {
  /** Counts changes of checks, cost model and this shape: an artefact of another version is made again from the component. */
  readonly preparation: number;
  readonly plan: ComponentPlan;
  /** Metered core modules, in the plan's numbering. The last one may be made by the validator: functions that only trap. */
  readonly modules: readonly Uint8Array[];
  /**
   * Every module but the validator's own imports its fuel under these names: one mutable i64 `WebAssembly.Global` for all instances of a
   * component, set before they are made (start functions spend it too) and before each call. Below zero: it trapped for want of fuel.
   * No import of the component's own has this module name.
   */
  readonly fuelImport: { readonly module: string; readonly name: string };
  /** Memory that the engine's compiler may take for all modules, as `compiler-memory.ts` estimates it. */
  readonly compilerBytes: number;
  /** Linear memories that its instances define together. */
  readonly memories: number;
}

/** Why a component is refused, ready for one line: what is wrong, the offending name, section, import or opcode, and where. */
export interface ComponentRefusal {
  readonly kind: "malformed" | "unsupported" | "import-found" | "name" | "section" | "opcode" | "limit" | "missing-export" | "start";
  /** Byte offset in the component file. */
  readonly offset: number;
  /** Ready for people: the action first, values quoted, offset named. */
  readonly message: string;
}
