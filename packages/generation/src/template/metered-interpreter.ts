import { Environment, Interpreter } from "@huggingface/jinja";
import type { TemplateMeter } from "./budget";

type Evaluate = Interpreter["evaluate"];
type Value = ReturnType<Evaluate>;
type Statement = NonNullable<Parameters<Evaluate>[0]>;

/** A call of a filter (`text | replace(a, b)`) or of a method (`text.replace(a, b)`). */
interface Call {
  readonly name: string;
  readonly subject: Statement;
  readonly args: readonly Statement[];
  /** The same call of other expressions. */
  readonly of: (subject: Statement, args: readonly Statement[]) => Statement;
}

/** Spaces that a template may ask for in front of a line. */
const widestIndent = 256;

/**
 * Characters that a call is going to make, for those functions that make much out of little: their work is done in one step of the
 * library, where nothing can be counted. `Infinity` where that is out of all proportion.
 */
const sizes: Readonly<Record<string, (subject: Value, args: readonly Value[]) => number>> = {
  replace: ({ value: text }, [old, by]) => {
    if (typeof text !== "string" || !isText(old) || !isText(by)) return 0;
    const places = old.value === "" ? text.length + 1 : text.split(old.value).length - 1;
    return text.length + places * Math.max(0, by.value.length - old.value.length);
  },
  join: ({ value: items }, [separator]) =>
    Array.isArray(items) && isText(separator) ? items.length * separator.value.length : 0,
  indent: (_, args) => widest(args),
  tojson: (_, args) => widest(args),
};

/**
 * The library's interpreter with a meter. It evaluates every expression and statement through one method, so that counting there sees
 * every loop, every recursion and every value.
 */
export class MeteredInterpreter extends Interpreter {
  constructor(
    environment: Environment,
    private readonly meter: TemplateMeter,
  ) {
    super(environment);
  }

  override evaluate(...[statement, environment]: Parameters<Evaluate>): Value {
    this.meter.step();
    const call = statement && callIn(statement);
    const value = call
      ? this.evaluateCall(call, sizes[call.name]!, environment)
      : super.evaluate(statement, environment);
    if (typeof value.value === "string") this.meter.text(value.value.length);
    else if (Array.isArray(value.value)) this.meter.list(value.value.length);
    return value;
  }

  /** Evaluates what the call is of, looks how much it would make, and then lets it. */
  private evaluateCall(
    { subject, args, of }: Call,
    sizeOf: (typeof sizes)[string],
    environment: Environment,
  ): Value {
    const scope = new Environment(environment);
    const values: Value[] = [];
    const named = (expression: Statement): Statement => {
      const keyword = expression as { readonly type: string; readonly value: Statement };
      if (keyword.type === "KeywordArgumentExpression") {
        return { ...keyword, value: named(keyword.value) } as unknown as Statement;
      }
      // No identifier of a template looks like this.
      const value = `$${values.length}`;
      values.push(this.evaluate(expression, environment));
      scope.setVariable(value, values.at(-1)!);
      return { type: "Identifier", value } as unknown as Statement;
    };
    const evaluated = of(named(subject), args.map(named));
    this.meter.text(sizeOf(values[0]!, values.slice(1)));
    return super.evaluate(evaluated, scope);
  }
}

interface FilterNode extends Statement {
  readonly operand: Statement;
  readonly filter: Statement & { readonly callee?: Named; readonly args?: readonly Statement[] };
}

interface MethodNode extends Statement {
  readonly callee: Statement & { readonly object: Statement; readonly property: Named };
  readonly args: readonly Statement[];
}

interface Named {
  readonly value: string;
}

/** The call that a node is, if it is one of those whose size is looked at. */
function callIn(statement: Statement): Call | undefined {
  const call = filterCall(statement) ?? methodCall(statement);
  const isKnown = call !== undefined && Object.hasOwn(sizes, call.name);
  // What is unpacked (`*list`) has no place in these functions.
  const isPlain = call?.args.every(({ type }) => !type.includes("Spread"));
  return isKnown && isPlain ? call : undefined;
}

function filterCall(statement: Statement): Call | undefined {
  const isBlock = statement.type === "FilterStatement";
  if (!isBlock && statement.type !== "FilterExpression") return undefined;
  const { operand, filter } = statement as FilterNode;
  const { callee, args } = filter;
  if (!callee || !args) return undefined;
  // What a block is filtered from is the block with a filter that changes nothing.
  const unfiltered = { ...statement, filter: { type: "Identifier", value: "safe" } } as Statement;
  const of: Call["of"] = (subject, given) => {
    const call = { ...filter, args: given };
    return { type: "FilterExpression", operand: subject, filter: call } as unknown as Statement;
  };
  return { name: callee.value, subject: isBlock ? unfiltered : operand, args, of };
}

function methodCall(statement: Statement): Call | undefined {
  if (statement.type !== "CallExpression") return undefined;
  const node = statement as MethodNode;
  if (node.callee.type !== "MemberExpression") return undefined;
  const of: Call["of"] = (object, args) =>
    ({ ...node, callee: { ...node.callee, object }, args }) as Statement;
  return { name: node.callee.property.value, subject: node.callee.object, args: node.args, of };
}

function isText(value: Value | undefined): value is Value & { readonly value: string } {
  return typeof value?.value === "string";
}

function widest(args: readonly Value[]): number {
  const widths = args.map(({ value }) => (typeof value === "number" ? Math.abs(value) : 0));
  return widths.some((width) => width > widestIndent) ? Infinity : 0;
}
