// First: what it changes must be changed before the Matrix library loads.
import "./matrix/silence.ts";
import { render } from "preact";
import { App } from "./app.ts";
import { exposeForTests } from "./testing.ts";
import { Root } from "./ui/root.tsx";
import { embed } from "./widget/embedding.ts";
import "./ui/style/base.css";
import "./ui/style/pages.css";
import "./ui/style/controls.css";
import "./ui/style/tiles.css";
import "./ui/style/call.css";
import "./ui/style/adapt.css";

const app = new App();
exposeForTests(app);
embed(app);
render(<Root app={app} />, document.getElementById("app")!);
void app.start();
