import { test } from "vitest";
import type { DocumentAttention } from "../../training-device";
import { expectClose, expectCode, tensorOf } from "../expectations";
import type { TrainingSubject } from "./subject";

export function refusalTests(subject: TrainingSubject): void {
  test("wrong shapes, indices and settings are refused before anything changes", async () => {
    const { device } = subject;
    const { training } = device;
    const a = tensorOf(device, [[1, 2, 3]]);
    const b = tensorOf(device, [[1, 2]]);
    const one = Float32Array.of(1);
    expectCode("InvalidArgument", () => training.zeros([0, 3]));
    expectCode("ShapeMismatch", () => training.product("ab", a, b));
    expectCode("ShapeMismatch", () => training.product("abT", a, a, b));
    expectCode("ShapeMismatch", () => training.addScaled(a, b, 1));
    expectCode("InvalidArgument", () => training.addScaled(a, a, Number.NaN));
    expectCode("IndexOutOfRange", () => training.addRows(a, Int32Array.of(1), a));
    expectCode("ShapeMismatch", () => training.rmsNormBackward(a, b, 1e-6, a));
    expectCode("ShapeMismatch", () => training.gatedActivationBackward(a, b, "silu", a));
    expectCode("InvalidArgument", () => training.softCapBackward(a, 0, a));
    expectCode("IndexOutOfRange", () => training.crossEntropy(a, Int32Array.of(3), one));
    expectCode("ShapeMismatch", () => training.crossEntropy(a, Int32Array.of(0, 1), one));
    expectCode("ShapeMismatch", () => training.divergence(a, b, 1, one));
    expectCode("InvalidArgument", () => training.divergence(a, a, 0, one));
    const attention: DocumentAttention = {
      parts: [{ query: a, key: a, keyHeads: 1 }],
      values: a,
      valueHeads: 1,
      heads: 1,
      scale: 1,
      documents: Int32Array.of(0),
    };
    const refused: readonly [Parameters<typeof expectCode>[0], Partial<DocumentAttention>][] = [
      ["ShapeMismatch", { parts: [{ query: b, key: a, keyHeads: 1 }] }],
      ["InvalidArgument", { parts: [] }],
      ["InvalidArgument", { heads: 2, valueHeads: 3 }],
      ["InvalidArgument", { documents: Int32Array.of(1) }],
      ["InvalidArgument", { documents: Int32Array.of(0, 1) }],
      ["InvalidArgument", { window: 0 }],
    ];
    for (const [code, wrong] of refused) {
      expectCode(code, () => training.documentAttention({ ...attention, ...wrong }));
    }
    const result = training.documentAttention(attention);
    expectCode("ShapeMismatch", () => training.documentAttentionBackward(attention, result, b));
    const step = {
      parameter: a,
      gradient: a,
      firstMoment: a,
      secondMoment: a,
      step: 1,
      rate: 1,
      beta1: 0.9,
      beta2: 0.9,
      epsilon: 1e-8,
      decay: 0,
      gradientFactor: 1,
    };
    expectCode("ShapeMismatch", () => training.adamW({ ...step, gradient: b }));
    expectCode("InvalidArgument", () => training.adamW({ ...step, step: 0 }));
    expectCode("InvalidArgument", () => training.adamW({ ...step, beta1: 1 }));
    await expectClose(subject, a, [1, 3], [1, 2, 3]);
  });
}
