import { Environment, Interpreter } from "@huggingface/jinja";
import type { TemplateMeter } from "./budget";

type Evaluate = Interpreter["evaluate"];
type Value = ReturnType<Evaluate>;

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
    if (statement?.type === "FilterExpression") this.checkWidths(statement, environment);
    const value = super.evaluate(statement, environment);
    if (typeof value.value === "string") this.meter.text(value.value.length);
    else if (Array.isArray(value.value)) this.meter.list(value.value.length);
    return value;
  }

  /** `indent` and `tojson` make any number of spaces out of a number, before there is a value to look at. */
  private checkWidths(node: unknown, environment: Environment): void {
    const { filter } = node as { filter: { args?: readonly FilterArgument[] } };
    for (const argument of filter.args ?? []) {
      const isNamed = argument.type === "KeywordArgumentExpression";
      const { value } = this.evaluate(isNamed ? argument.value : argument, environment);
      if (typeof value === "number") this.meter.text(Math.abs(value));
    }
  }
}

type FilterArgument = NonNullable<Parameters<Evaluate>[0]> & {
  readonly value: Parameters<Evaluate>[0];
};
