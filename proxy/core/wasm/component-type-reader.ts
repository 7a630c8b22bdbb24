// Reads the type definitions of a component. Only what a policy's toolchain writes is known: value types, functions, resources of
// stubs, instances of types and functions.

import { ByteReader } from "./byte-reader.ts";
import type { ComponentTypeEntity, Entity, FunctionEntity, InstanceEntity, Scope } from "./component-entities.ts";
import { type ComponentFunction, MAX_TYPE_SIZE, type Payload, type TypeId, type TypeTable } from "./component-types.ts";
import { NameSet, readExternName, readLabel } from "./names.ts";
import { hex, quote, refuse } from "./refuse.ts";
import { sameFunction } from "./world-types.ts";

/** Where types are looked up: a component's own, or those of an instance type and around it. */
interface TypeSpace {
  readonly types: ComponentTypeEntity[];
  readonly outer: Scope | undefined;
  /** Types of `outer` that were there when the instance type was written. */
  readonly outerTypes: number;
}

const MAX_MEMBERS = 1_000;

export class ComponentTypeReader {
  readonly #bytes: Uint8Array;
  readonly #table: TypeTable;
  readonly #countDeclaration: (offset: number) => void;
  #resources = 0;
  /** Whether all that the definition being read speaks of has a name. */
  #sound = true;

  constructor(bytes: Uint8Array, table: TypeTable, countDeclaration: (offset: number) => void) {
    this.#bytes = bytes;
    this.#table = table;
    this.#countDeclaration = countDeclaration;
  }

  /** A definition in the type section of a component. */
  readDefinition(reader: ByteReader, scope: Scope): ComponentTypeEntity {
    const start = reader.position;
    const form = reader.bytes[start];
    if (form === 0x42) {
      reader.byte();
      const from = reader.position;
      this.#readInstanceType(reader, scope, scope.types.length, undefined);
      return { sort: "instance", start: from, end: reader.position, typesBefore: scope.types.length };
    }
    if (form === 0x3f) return this.#readResource(reader, scope);
    return this.#readPlain(reader, { types: scope.types, outer: undefined, outerTypes: 0 });
  }

  /** What an instance of this type holds; against `given`, which must hold at least that. */
  instanceOf(type: ComponentTypeEntity, scope: Scope, given: InstanceEntity | undefined, offset: number): InstanceEntity {
    if (type.sort !== "instance") return refuse("malformed", offset, "an instance has a type that is not an instance's");
    const reader = new ByteReader(this.#bytes, type.start, type.end);
    return this.#readInstanceType(reader, scope, type.typesBefore, given);
  }

  readFunctionType(reader: ByteReader, space: TypeSpace): ComponentFunction {
    const labels = new NameSet("parameter", true);
    const params = this.#members(reader, "parameters", labels, () => this.#readValueType(reader, space));
    const start = reader.position;
    const form = reader.byte();
    if (form === 0x00) return { params, result: this.#readValueType(reader, space) };
    if (form !== 0x01 || reader.byte() !== 0x00) refuse("unsupported", start, "a function has named results, want one or none");
    return { params, result: undefined };
  }

  #readResource(reader: ByteReader, scope: Scope): ComponentTypeEntity {
    const start = reader.position;
    reader.byte();
    reader.expect(0x7f, "representation of a resource");
    const form = reader.byte();
    if (form > 1) refuse("unsupported", start, `a resource has a destructor of form ${hex(form)}`);
    if (form === 1) {
      const index = reader.u32();
      const destructor = scope.coreFunctions[index] ?? refuse("malformed", start, `core function ${index} is not there`);
      if (destructor.type.params.join() !== "127" || destructor.type.results.length > 0) {
        refuse("malformed", start, "a destructor takes or returns something else than one i32");
      }
    }
    return { sort: "resource", resource: this.#resources++, named: false };
  }

  #readInstanceType(reader: ByteReader, scope: Scope, typesBefore: number, given: InstanceEntity | undefined): InstanceEntity {
    const space: TypeSpace = { types: [], outer: scope, outerTypes: typesBefore };
    const exports = new Map<string, Entity>();
    const names = new NameSet("export of an instance type", true);
    for (let left = reader.count("declarations", MAX_MEMBERS); left > 0; left--) {
      const start = reader.position;
      this.#countDeclaration(start);
      const form = reader.byte();
      if (form === 0x01) space.types.push(this.#readPlain(reader, space));
      else if (form === 0x02) space.types.push(this.#readOuterAlias(reader, space));
      else if (form === 0x04) {
        const name = readExternName(reader);
        names.add(name, start);
        exports.set(name, this.#readExport(reader, space, name, given));
      } else refuse("unsupported", start, `found a declaration of form ${hex(form)} in an instance type`);
    }
    return { sort: "instance", exports };
  }

  #readOuterAlias(reader: ByteReader, space: TypeSpace): ComponentTypeEntity {
    const start = reader.position;
    if (reader.byte() !== 0x03 || reader.byte() !== 0x02)
      refuse("unsupported", start, "an instance type aliases something else than an outer type");
    const count = reader.u32();
    const index = reader.u32();
    const found = count === 0 ? space.types[index] : count === 1 && index < space.outerTypes ? space.outer?.types[index] : undefined;
    if (found === undefined) return refuse("unsupported", start, `outer type ${count} ${index} is not there or too far out`);
    if (found.sort === "instance") return refuse("unsupported", start, "an instance type aliases an instance type");
    return found;
  }

  #readExport(reader: ByteReader, space: TypeSpace, name: string, given: InstanceEntity | undefined): Entity {
    const start = reader.position;
    const actual = given?.exports.get(name);
    if (given !== undefined && actual === undefined) refuse("missing-export", start, `the instance given here has no ${quote(name)}`);
    const declared = this.readDescription(reader, space, actual, start);
    if (declared.sort === "type") space.types.push(declared.type);
    return declared;
  }

  /** What an import, or an export that says its type, is declared as; `actual` must fit it, and stands for it. */
  readDescription(reader: ByteReader, space: TypeSpace, actual: Entity | undefined, offset: number): Entity {
    const start = reader.position;
    const form = reader.byte();
    if (form === 0x01) return this.#describedFunction(reader, space, actual, offset);
    if (form === 0x03) return this.#describedType(reader, space, actual, offset);
    return refuse("unsupported", start, `found a description of form ${hex(form)}, want a function or a type`);
  }

  #describedFunction(reader: ByteReader, space: TypeSpace, actual: Entity | undefined, offset: number): FunctionEntity {
    const index = reader.u32();
    const type = space.types[index];
    if (type?.sort !== "func") return refuse("malformed", offset, `type ${index} is not a function's`);
    if (actual === undefined) return { sort: "func", type: type.type, sound: type.sound, lift: undefined };
    if (actual.sort !== "func" || !sameFunction(actual.type, type.type))
      return refuse("malformed", offset, "a function has another type than declared");
    return { ...actual, sound: type.sound };
  }

  #describedType(reader: ByteReader, space: TypeSpace, actual: Entity | undefined, offset: number): Entity {
    const bound = reader.byte();
    if (bound === 0x01) {
      if (actual === undefined) return { sort: "type", type: { sort: "resource", resource: this.#resources++, named: true } };
      if (actual.sort !== "type" || actual.type.sort !== "resource")
        return refuse("malformed", offset, "a type is not the resource it is declared as");
      return { sort: "type", type: { ...actual.type, named: true } };
    }
    if (bound !== 0x00) return refuse("unsupported", offset, `a type is bound by ${hex(bound)}, want 0x00 or 0x01`);
    const index = reader.u32();
    const type = space.types[index] ?? refuse("malformed", offset, `type ${index} is not there`);
    if (type.sort === "instance" || type.sort === "func") return refuse("unsupported", offset, "a type that is not a value's is named");
    if (actual !== undefined && !(actual.sort === "type" && sameType(actual.type, type))) {
      return refuse("malformed", offset, "a type is another than declared");
    }
    return { sort: "type", type: { ...type, named: true } };
  }

  #readPlain(reader: ByteReader, space: TypeSpace): ComponentTypeEntity {
    const start = reader.position;
    const form = reader.byte();
    this.#sound = true;
    if (form === 0x40) {
      const type = this.readFunctionType(reader, space);
      return { sort: "func", type, sound: this.#sound };
    }
    const id = this.#readDefined(reader, form, start, space);
    if (this.#table.get(id).size > MAX_TYPE_SIZE) refuse("limit", start, `a type is made of more than ${MAX_TYPE_SIZE} types`);
    return { sort: "value", id, named: false, sound: this.#sound };
  }

  #readDefined(reader: ByteReader, form: number, start: number, space: TypeSpace): TypeId {
    const read = (): TypeId => this.#readValueType(reader, space);
    const table = this.#table;
    switch (form) {
      case 0x72:
        return table.record(this.#filled(this.#members(reader, "fields", new NameSet("field", true), read), "record", start));
      case 0x71:
        return table.variant(
          this.#filled(
            this.#members(reader, "cases", new NameSet("case", true), () => this.#readCase(reader, space)),
            "variant",
            start,
          ),
        );
      case 0x70:
        return table.list(read());
      case 0x6f:
        return table.tuple(this.#filled(Array.from({ length: reader.count("types", MAX_MEMBERS) }, read), "tuple", start));
      case 0x6e: {
        const labels = this.#labels(reader, "flag", start);
        if (labels.length > 32) refuse("limit", start, `a type has ${labels.length} flags, want at most 32`);
        return table.flags(labels);
      }
      case 0x6d:
        return table.enumeration(this.#labels(reader, "case", start));
      case 0x6b:
        return table.option(read());
      case 0x6a:
        return table.result(this.#readOptional(reader, space), this.#readOptional(reader, space));
      case 0x69:
      case 0x68: {
        const index = reader.u32();
        const resource = space.types[index];
        if (resource?.sort !== "resource") return refuse("malformed", start, `type ${index} is not a resource`);
        this.#sound &&= resource.named;
        return table.handle(form === 0x69 ? "own" : "borrow", resource.resource);
      }
    }
    return table.primitive(form) ?? refuse("unsupported", start, `found a type of form ${hex(form)}`);
  }

  #readCase(reader: ByteReader, space: TypeSpace): Payload {
    const payload = this.#readOptional(reader, space);
    reader.expect(0x00, "a case refines no other");
    return payload;
  }

  #readOptional(reader: ByteReader, space: TypeSpace): Payload {
    const start = reader.position;
    const form = reader.byte();
    if (form > 1) refuse("malformed", start, `found byte ${hex(form)}, want 0x00 (no type) or 0x01`);
    return form === 1 ? this.#readValueType(reader, space) : undefined;
  }

  #readValueType(reader: ByteReader, space: TypeSpace): TypeId {
    const start = reader.position;
    const first = reader.bytes[start] ?? 0;
    if (first >= 0x40 && first < 0x80) {
      return this.#table.primitive(reader.byte()) ?? refuse("unsupported", start, `found a type of form ${hex(first)}`);
    }
    const index = reader.s33();
    const type = space.types[index];
    if (type?.sort !== "value") return refuse("malformed", start, `type ${index} is not a value's`);
    this.#sound &&= this.#table.get(type.id).nominal === true ? type.named : type.sound;
    return type.id;
  }

  #members<Value>(reader: ByteReader, what: string, names: NameSet, read: () => Value): (readonly [string, Value])[] {
    return Array.from({ length: reader.count(what, MAX_MEMBERS) }, () => {
      const start = reader.position;
      this.#countDeclaration(start);
      const label = readLabel(reader);
      names.add(label, start);
      return [label, read()] as const;
    });
  }

  #labels(reader: ByteReader, what: string, start: number): readonly string[] {
    return this.#filled(
      this.#members(reader, `${what}s`, new NameSet(what, true), () => undefined),
      "type",
      start,
    ).map(([label]) => label);
  }

  #filled<Member>(members: readonly Member[], what: string, start: number): readonly Member[] {
    return members.length === 0 ? refuse("malformed", start, `a ${what} has no members`) : members;
  }
}

export function sameType(a: ComponentTypeEntity, b: ComponentTypeEntity): boolean {
  if (a.sort === "value") return b.sort === "value" && a.id === b.id;
  if (a.sort === "resource") return b.sort === "resource" && a.resource === b.resource;
  if (a.sort === "func") return b.sort === "func" && sameFunction(a.type, b.type);
  return false;
}

/** What is imported or exported under a name must be made of things that have one. */
export function checkSound(entity: Entity, what: string, offset: number): void {
  if (entity.sort === "instance") {
    for (const member of entity.exports.values()) checkSound(member, what, offset);
    return;
  }
  const sound =
    entity.sort === "func" ? entity.sound : entity.type.sort === "value" || entity.type.sort === "func" ? entity.type.sound : true;
  if (!sound) refuse("malformed", offset, `the ${what} speaks of a type that has no name`);
}
