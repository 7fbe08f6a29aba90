// This page within another client's: what the two tell each other goes through here.

import type { App } from "../app.ts";
import { guard } from "../guard.ts";
import { WidgetApi, type Theme } from "./api.ts";

export function embed(app: App, page: Window = window): void {
    const { widget } = app.flags;
    if (!widget || page.parent === page) return;
    const api = new WidgetApi(widget.widgetId, (message) => page.parent.postMessage(message, widget.origin));
    const receive = guard("widget", (message: unknown) => api.receiveUntrusted(message));
    page.addEventListener("message", (event) => {
        // Whose pages may stand around this one is said by the server's policy; anything else on the way is not listened to.
        if (event.source === page.parent && event.origin === widget.origin) receive(event.data);
    });
    const look = (theme: Theme) => (page.document.documentElement.dataset.theme = theme);
    if (widget.theme) look(widget.theme);
    api.ontheme = look;
    api.onhangup = () => void (app.conference && app.leave());
    api.onjoin = () => void app.join();
    app.subscribe(() => api.inCall(app.conference?.phase === "joined"));
    api.start();
}
