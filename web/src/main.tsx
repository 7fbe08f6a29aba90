import { render } from "preact";
import { App } from "./app.ts";
import { silenceLibrary } from "./matrix/silence.ts";
import { exposeForTests } from "./testing.ts";
import { Root } from "./ui/root.tsx";
import "./ui/style.css";

silenceLibrary();
const app = new App();
exposeForTests(app);
render(<Root app={app} />, document.getElementById("app")!);
void app.start();
