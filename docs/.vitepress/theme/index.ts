import DefaultTheme from "vitepress/theme";
import type { Theme } from "vitepress";
import CacheSize from "./figures/CacheSize.vue";
import ExactConstruction from "./figures/ExactConstruction.vue";
import Fidelity from "./figures/Fidelity.vue";
import Spectrum from "./figures/Spectrum.vue";
import TensorViewer from "./figures/TensorViewer.vue";
import "./style.css";

/** The default theme with our colours, and the figures that pages use. */
export default {
  extends: DefaultTheme,
  enhanceApp({ app }) {
    app.component("CacheSize", CacheSize);
    app.component("ExactConstruction", ExactConstruction);
    app.component("Fidelity", Fidelity);
    app.component("Spectrum", Spectrum);
    app.component("TensorViewer", TensorViewer);
  },
} satisfies Theme;
