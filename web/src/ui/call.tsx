import { useCallback, useState } from "preact/hooks";
import type { App } from "../app.ts";
import { Controls } from "./controls.tsx";
import { Details } from "./details.tsx";
import { CallNumber, Problem, Waiting } from "./parts.tsx";
import { useShortcuts } from "./shortcuts.ts";
import { Stage } from "./stage.tsx";

export function Call({ app }: { app: App }) {
    const { conference } = app;
    const [details, setDetails] = useState(false);
    const escape = useCallback(() => {
        if (details) setDetails(false);
        else conference?.viewing.pin(null);
    }, [details, conference]);
    useShortcuts(escape);
    if (!conference) return null;
    if (conference.phase === "failed") {
        return (
            <main class="centre">
                <div class="card narrow">
                    <h1>{conference.member === null ? "Could not join" : "The call ended"}</h1>
                    <Problem trouble={conference.trouble} />
                    <CallNumber callId={conference.callId} />
                    <div class="row">
                        <button class="primary" onClick={() => void app.again()}>
                            Join again
                        </button>
                        <button class="quiet" onClick={() => void app.leave()}>
                            Leave
                        </button>
                    </div>
                </div>
            </main>
        );
    }
    if (conference.phase !== "joined") {
        return (
            <Waiting status={conference.status}>
                <button class="quiet" onClick={() => void app.leave()}>
                    Cancel
                </button>
            </Waiting>
        );
    }
    return (
        <main class="call">
            <h1 class="unseen">Call in {app.room?.name}</h1>
            <div class="middle">
                <Stage app={app} conference={conference} />
                {details && <Details app={app} conference={conference} close={() => setDetails(false)} />}
            </div>
            <Controls app={app} conference={conference} details={details} onDetails={() => setDetails((open) => !open)} />
        </main>
    );
}
