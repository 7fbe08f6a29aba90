import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { readSurroundings, WidgetApi } from "../src/widget/api.ts";

interface Said {
    api: string;
    action: string;
    widgetId: string;
    requestId: string;
    data?: object;
    response?: object;
}

function widget() {
    const said: Said[] = [];
    const api = new WidgetApi("w1", (message) => said.push(message as Said));
    let asked = 0;
    const ask = (action: string, data: object = {}, more: object = {}) => {
        api.receiveUntrusted({ api: "toWidget", widgetId: "w1", requestId: `r${++asked}`, action, data, ...more });
        return said.at(-1)?.response;
    };
    return { api, said, ask, actions: () => said.filter(({ response }) => !response).map(({ action, data }) => [action, data]) };
}

describe("a widget's side of the widget API", () => {
    it("says that it is there, what it wants and which versions it knows", () => {
        const { api, said, ask } = widget();
        api.start();
        const { requestId, ...rest } = said[0]!;
        assert.deepEqual(rest, { api: "fromWidget", widgetId: "w1", action: "content_loaded", data: {} });
        assert.ok(requestId);
        assert.deepEqual(ask("capabilities"), { capabilities: ["m.always_on_screen"] });
        assert.deepEqual(ask("supported_api_versions"), { supported_versions: ["0.0.1", "0.0.2"] });
        assert.deepEqual(ask("visibility", { visible: false }), {});
        assert.match(JSON.stringify(ask("org.example.dance")), /error.*message/);
        const answer = said.at(-1)!;
        assert.deepEqual([answer.api, answer.requestId, answer.action], ["toWidget", "r4", "org.example.dance"], "an answer is the request with more");
    });

    it("stays on the screen during a call if it may, and says when the call is over", () => {
        const { api, ask, actions } = widget();
        api.inCall(false);
        api.inCall(true);
        assert.deepEqual(actions(), [], "nobody has allowed it yet");
        assert.deepEqual(ask("notify_capabilities", { requested: ["m.always_on_screen"], approved: ["m.always_on_screen"] }), {});
        api.inCall(true);
        api.inCall(false);
        assert.deepEqual(actions(), [
            ["set_always_on_screen", { value: true }],
            ["set_always_on_screen", { value: false }],
            ["im.vector.hangup", {}],
        ]);
        const other = widget();
        other.ask("notify_capabilities", { approved: [] });
        other.api.inCall(true);
        assert.deepEqual(other.actions(), []);
    });

    it("joins and leaves when it is told to", () => {
        const { api, ask } = widget();
        const told: string[] = [];
        api.onhangup = () => told.push("hangup");
        api.onjoin = () => told.push("join");
        ask("io.element.join");
        ask("im.vector.hangup");
        assert.deepEqual(told, ["join", "hangup"]);
    });

    it("looks as the client around it does", () => {
        const { api, ask } = widget();
        const looks: string[] = [];
        api.ontheme = (theme) => looks.push(theme);
        for (const name of ["dark", "light-high-contrast", "custom-Mauve"]) assert.deepEqual(ask("theme_change", { name }), {});
        assert.deepEqual(looks, ["dark", "light"]);
        assert.throws(() => ask("theme_change", { name: {} }));
        assert.deepEqual(ask("language_change", { lang: "de" }), {});
    });

    it("listens to nothing that is not meant for it, and refuses what is broken", () => {
        const { api, said, ask } = widget();
        for (const message of [null, 7, "capabilities", {}, [], { api: "fromWidget", action: "capabilities", widgetId: "w1", requestId: "r" }]) api.receiveUntrusted(message);
        ask("capabilities", {}, { widgetId: "another" });
        ask("content_loaded", {}, { response: {} });
        assert.deepEqual(said, []);
        assert.throws(() => ask("capabilities", {}, { requestId: 7 }));
        assert.throws(() => ask("capabilities", {}, { action: { deep: true } }));
        assert.throws(() => ask("notify_capabilities", {}, { data: null }));
        assert.deepEqual(said, []);
    });

    it("knows from its address who stands around it", () => {
        const read = (search: string) => readSurroundings(new URLSearchParams(search));
        const around = "widgetId=w1&parentUrl=https%3A%2F%2Fapp.example.org%2F%23%2Froom";
        assert.deepEqual(read(around), { widgetId: "w1", origin: "https://app.example.org", theme: null });
        for (const [name, theme] of [["light", "light"], ["dark-high-contrast", "dark"], ["black", "dark"], ["custom-Solarized", null], ["$org.matrix.msc2873.client_theme", null]])
            assert.equal(read(`${around}&theme=${name}`)?.theme, theme, name!);
        for (const search of ["", "widgetId=w1", "parentUrl=https://a.example", "widgetId=w1&parentUrl=javascript:1", "widgetId=w1&parentUrl=here"]) assert.equal(read(search), null);
    });
});
