import type { App } from "../app.ts";
import { displayName } from "../matrix/rooms.ts";
import { sameConference, type Conference, type Intent } from "../protocol/events.ts";
import { MAX_MEMBERS_WISHED } from "../protocol/limits.ts";
import { about } from "./conferences.ts";
import { Icon } from "./icons.tsx";

/** Which of the room's conferences "join" means, and what a new one is to be. */
export function Choosing({ app }: { app: App }) {
    const { running, chosen } = app;
    return (
        <>
            {running.length === 1 && chosen && (
                <p class="hint running">
                    Begun by {beganBy(app, chosen)}. {about(chosen, Date.now())}.
                </p>
            )}
            {(running.length > 1 || (running.length === 1 && !chosen)) && <Running app={app} />}
            {running.length === 1 && chosen && (
                <button class="quiet another" onClick={() => app.choose({ another: true, conference: null })}>
                    Begin another one
                </button>
            )}
            {!chosen && <Terms app={app} />}
        </>
    );
}

export function beganBy(app: App, { creator }: Conference): string {
    return creator === app.account?.userId ? "you" : displayName(app.client!, app.room!.roomId, creator);
}

function Running({ app }: { app: App }) {
    const { running, chosen } = app;
    return (
        <fieldset class="choices">
            <legend>Conferences of this room</legend>
            {running.map((one) => (
                <label class="choice" key={one.conferenceId}>
                    <input type="radio" name="conference" checked={sameConference(one, chosen)} onChange={() => app.choose({ another: false, conference: one })} />
                    <span>
                        <strong>Begun by {beganBy(app, one)}</strong>
                        <small>{about(one, Date.now())}</small>
                    </span>
                </label>
            ))}
            <label class="choice">
                <input type="radio" name="conference" checked={chosen === null} onChange={() => app.choose({ another: true, conference: null })} />
                <span>
                    <strong>Another one</strong>
                    <small>beside what is running</small>
                </span>
            </label>
        </fieldset>
    );
}

const INTENTS: [Intent, "camera" | "mic", string][] = [
    ["video", "camera", "Video"],
    ["voice", "mic", "Voice only"],
];

function Terms({ app }: { app: App }) {
    const { wish } = app;
    return (
        <>
            <fieldset class="segments">
                <legend class="unseen">Kind of conference</legend>
                {INTENTS.map(([intent, icon, label]) => (
                    <label key={intent}>
                        <input type="radio" name="intent" value={intent} checked={wish.intent === intent} onChange={() => app.choose({ intent })} />
                        <span>
                            <Icon name={icon} size={18} /> {label}
                        </span>
                    </label>
                ))}
            </fieldset>
            <label class="inline">
                People at most
                <input
                    type="number"
                    inputMode="numeric"
                    min={2}
                    max={MAX_MEMBERS_WISHED}
                    placeholder="No limit"
                    value={wish.members ?? ""}
                    onInput={({ currentTarget }) => app.choose({ members: read(currentTarget) })}
                />
            </label>
        </>
    );
}

/** What is not a number in range limits nothing; the field says so itself. */
function read(input: HTMLInputElement): number | null {
    return input.value !== "" && input.validity.valid ? input.valueAsNumber : null;
}
