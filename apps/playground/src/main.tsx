import { render } from "preact";
import { App } from "./app";
import { begin } from "./state/session";

const root = document.getElementById("app")!;
root.replaceChildren();
render(<App />, root);
void begin();
