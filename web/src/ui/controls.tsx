import { useEffect, useRef, useState } from "preact/hooks";
import type { App } from "../app.ts";
import { canShareScreen } from "../call/screen.ts";
import { ANY } from "../conference/admission.ts";
import type { Conference } from "../conference/conference.ts";
import { REACTIONS } from "../protocol/gestures.ts";
import { Toggle } from "./devices.tsx";
import { reactionName, shownReaction } from "./emoji.ts";
import { Icon } from "./icons.tsx";
import { Round } from "./parts.tsx";

interface ControlsProps {
    app: App;
    conference: Conference;
    details: boolean;
    onDetails: () => void;
}

export function Controls({ app, conference, details, onDetails }: ControlsProps) {
    const { viewing, own, gestures, pictures, elsewhere } = conference;
    const isRaised = () => conference.member !== null && (gestures?.hands.includes(conference.member) ?? false);
    const raised = isRaised();
    const speakerView = viewing.spotlight.view === "speaker";
    const notice = conference.notice || app.media.problem.audio || app.media.problem.video || "";
    return (
        <footer class="controls">
            <p class="roomname">
                <strong>{app.room?.name}</strong>
                {!pictures && <span class="kind">Voice only</span>}
                <span>
                    <Icon name="people" size={15} /> {conference.roster.members.size}
                    <span class="unseen"> people</span>
                </span>
            </p>
            <div class="buttons" role="group" aria-label="Call">
                <Toggle app={app} kind="audio" shortcut="m" />
                {pictures && <Toggle app={app} kind="video" shortcut="v" />}
                {pictures && canShareScreen && (
                    <Round
                        icon={own.sharing ? "screenOff" : "screen"}
                        label={own.sharing ? "Stop sharing" : "Share screen"}
                        shortcut="s"
                        tone={own.sharing ? "on" : undefined}
                        onClick={() => void conference.control.share(!own.sharing)}
                    />
                )}
                <Round icon="hand" label={raised ? "Lower hand" : "Raise hand"} shortcut="h" tone={raised ? "on" : undefined} onClick={() => void gestures?.raise(!isRaised())} />
                <Reactions onPick={(key) => void gestures?.react(key)} />
                {pictures && (
                    <Round
                        icon={speakerView ? "grid" : "speaker"}
                        label={speakerView ? "Show everybody alike" : "Show who speaks large"}
                        shortcut="g"
                        onClick={() => viewing.setView(viewing.spotlight.view === "speaker" ? "grid" : "speaker")}
                    />
                )}
                <Round icon="info" label="Details" shortcut="d" pressed={details} tone={details ? "on" : undefined} onClick={onDetails} />
                <Round icon="leave" label="Leave" tone="danger" onClick={() => void app.leave()} />
            </div>
            <div class="notice">
                <p role="status" aria-live="polite">
                    {notice || (own.sharing ? "You are sharing your screen" : elsewhere ? "A newer conference is running in this room" : "")}
                </p>
                {elsewhere && (
                    <button class="quiet" onClick={() => void app.rejoin(conference, { ...ANY, conference: elsewhere })}>
                        Go there
                    </button>
                )}
                {conference.stranded && (
                    <button class="quiet" onClick={() => void app.rejoin(conference)}>
                        Join again
                    </button>
                )}
            </div>
        </footer>
    );
}

function Reactions({ onPick }: { onPick: (key: string) => void }) {
    const [open, setOpen] = useState(false);
    const root = useRef<HTMLDivElement>(null);
    useEffect(() => {
        if (!open) return;
        root.current?.querySelector<HTMLButtonElement>(".palette button")?.focus();
        const outside = (event: Event) => {
            if (!root.current?.contains(event.target as Node)) setOpen(false);
        };
        document.addEventListener("pointerdown", outside);
        return () => document.removeEventListener("pointerdown", outside);
    }, [open]);
    const close = (event: KeyboardEvent) => {
        if (event.key !== "Escape" || !open) return;
        event.stopPropagation();
        setOpen(false);
        root.current?.querySelector<HTMLButtonElement>(".round")?.focus();
    };
    return (
        <div class="reactions" ref={root} onKeyDown={close}>
            <Round icon="smile" label="React" shortcut="r" expanded={open} onClick={() => setOpen((now) => !now)} />
            {open && (
                <div class="palette" role="group" aria-label="Reactions">
                    {REACTIONS.map((key) => (
                        <button
                            key={key}
                            aria-label={`React with ${shownReaction(key)}`}
                            title={reactionName(key)}
                            onClick={() => {
                                onPick(key);
                                setOpen(false);
                            }}
                        >
                            {shownReaction(key)}
                        </button>
                    ))}
                </div>
            )}
        </div>
    );
}
