import { useEffect, useReducer } from "preact/hooks";
import type { App } from "../app.ts";
import { Call } from "./call.tsx";
import { Lobby } from "./lobby.tsx";
import { Problem, Waiting } from "./parts.tsx";
import { Rooms } from "./rooms.tsx";
import { SignIn } from "./signin.tsx";

/** Redraws when the application says that something changed, at most once per frame of the screen. */
export function Root({ app }: { app: App }) {
    const [, redraw] = useReducer((n: number, _: null) => n + 1, 0);
    useEffect(() => {
        let scheduled = false;
        return app.subscribe(() => {
            if (scheduled) return;
            scheduled = true;
            // A timer and not an animation frame: those stop in a hidden tab, where sound must go on.
            setTimeout(() => {
                scheduled = false;
                redraw(null);
            }, 16);
        });
    }, [app]);

    switch (app.screen) {
        case "loading":
            return <Waiting status={app.status} />;
        case "broken":
            return (
                <main class="centre">
                    <Problem trouble={app.trouble}>
                        <button class="primary" onClick={() => location.reload()}>
                            Reload
                        </button>
                    </Problem>
                </main>
            );
        case "signin":
            return <SignIn app={app} />;
        case "rooms":
            return <Rooms app={app} />;
        case "lobby":
            return <Lobby app={app} />;
        case "call":
            return <Call app={app} />;
    }
}
