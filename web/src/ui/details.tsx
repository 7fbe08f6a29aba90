import { useEffect, useRef, useState } from "preact/hooks";
import type { App } from "../app.ts";
import type { Conference } from "../conference/conference.ts";
import { beganBy } from "./choosing.tsx";
import { about } from "./conferences.ts";
import { Devices } from "./devices.tsx";
import { Icon } from "./icons.tsx";
import { CallNumber } from "./parts.tsx";
import { encryptionLine, receivingRows, sendingRows, viewerLine, type ReceivingRow } from "./figures.ts";
import type { Mutable } from "../protocol/moderation.ts";
import { sameSpot } from "../viewing/spotlight.ts";
import { displayName } from "../matrix/rooms.ts";
import { setShortcuts, shortcutsOn } from "./shortcuts.ts";

/** What is behind the pictures: encryption, rates and layers of everybody; devices; what else can be done. */
export function Details({ app, conference, close }: { app: App; conference: Conference; close: () => void }) {
    const heading = useRef<HTMLHeadingElement>(null);
    useEffect(() => heading.current?.focus(), []);
    const name = (userId: string) => displayName(app.client!, app.room!.roomId, userId);
    const sending = sendingRows(conference);
    const receiving = receivingRows(conference, name);
    const watching = viewerLine(conference.viewers.get("camera") ?? null);
    return (
        <aside class="panel" aria-label="Details">
            <header class="bar">
                <h2 ref={heading} tabIndex={-1}>
                    Details
                </h2>
                <button class="quiet" aria-label="Close details" onClick={close}>
                    <Icon name="close" size={20} />
                </button>
            </header>
            <section>
                <h3>Conference</h3>
                <p class="hint">{conferenceLine(app, conference)}</p>
            </section>
            <section>
                <h3>Encryption</h3>
                <p class="hint">{encryptionLine(conference)}</p>
            </section>
            <section>
                <h3>What you receive</h3>
                {receiving.length === 0 && <p class="hint">Nobody else is here yet.</p>}
                {receiving.map((row) => (
                    <div class="figure" key={row.key}>
                        <p>
                            <strong>{row.name}</strong> <span class={`grade ${row.grade}`}>{row.words}</span>
                        </p>
                        {row.picture && <p class="hint">{row.picture}</p>}
                        <p class="hint">{row.sound}</p>
                        <p class="hint">{row.encryption}</p>
                        <Moderate conference={conference} row={row} />
                    </div>
                ))}
            </section>
            <section>
                <h3>What you send</h3>
                {sending.map((row) => (
                    <p class="hint" key={row.key}>
                        <strong>{row.name}</strong> {row.text}
                    </p>
                ))}
                {watching && <p class="hint">{watching}</p>}
            </section>
            <section>
                <h3>Devices</h3>
                <Devices app={app} pictures={conference.pictures} />
            </section>
            <section>
                <h3>More</h3>
                <CallNumber callId={conference.callId} />
                {conference.pictures && <Floating />}
                <Share app={app} />
                <Shortcuts pictures={conference.pictures} />
            </section>
        </aside>
    );
}

function conferenceLine(app: App, { announced }: Conference): string {
    return announced ? `${about(announced, Date.now())}, begun by ${beganBy(app, announced)}.` : "";
}

/** What a moderator of the room can ask for; nothing for others. */
function Moderate({ conference, row }: { conference: Conference; row: ReceivingRow }) {
    const { moderation } = conference;
    if (!moderation || !(moderation.mayAsk || moderation.mayFocus)) return null;
    const { member, source } = row.spot;
    const shown = sameSpot(moderation.focus, row.spot);
    const ask = (what: Mutable) => void moderation.askToMute(member, what);
    return (
        <div class="row moderate" role="group" aria-label={`Moderate ${row.name}`}>
            {moderation.mayAsk && source === "camera" && !row.muted.audio && (
                <button class="quiet" onClick={() => ask("audio")}>
                    <Icon name="micOff" size={16} /> Ask to be silent
                </button>
            )}
            {moderation.mayAsk && !row.muted.video && (
                <button class="quiet" onClick={() => ask(source)}>
                    <Icon name={source === "camera" ? "cameraOff" : "screenOff"} size={16} /> {source === "camera" ? "Ask to turn camera off" : "Ask to stop sharing"}
                </button>
            )}
            {moderation.mayFocus && (
                <button class="quiet" aria-pressed={shown} onClick={() => void moderation.setFocus(shown ? null : row.spot)}>
                    <Icon name="speaker" size={16} /> Large for everybody
                </button>
            )}
        </div>
    );
}

/** The large picture, or the first, in a small window that stays on top. */
function Floating() {
    if (typeof document === "undefined" || !document.pictureInPictureEnabled) return null;
    const float = () => {
        if (document.pictureInPictureElement) return void document.exitPictureInPicture();
        const video = document.querySelector<HTMLVideoElement>(".tile.large video:not([hidden]), .tile:not(.own) video:not([hidden])");
        void video?.requestPictureInPicture().catch(() => undefined);
    };
    return (
        <button class="quiet wide" data-key="p" onClick={float}>
            <Icon name="pip" size={18} /> Picture in picture
        </button>
    );
}

function Share({ app }: { app: App }) {
    const [copied, setCopied] = useState("");
    const link = new URL(location.pathname, location.href);
    link.searchParams.set("room", app.room?.roomId ?? "");
    const share = async () => {
        try {
            if (navigator.share && matchMedia("(pointer: coarse)").matches) await navigator.share({ title: app.room?.name, url: link.href });
            else {
                await navigator.clipboard.writeText(link.href);
                setCopied("Link copied: it lets in people who are in this room");
            }
        } catch {
            setCopied(link.href);
        }
    };
    return (
        <>
            <button class="quiet wide" onClick={() => void share()}>
                <Icon name="link" size={18} /> Share link
            </button>
            <p class="hint" role="status">
                {copied}
            </p>
        </>
    );
}

const KEYS: [string, string][] = [
    ["M", "microphone"],
    ["V", "camera"],
    ["S", "screen"],
    ["H", "hand"],
    ["R", "react"],
    ["G", "grid or speaker"],
    ["D", "details"],
    ["P", "picture in picture, while details are open"],
    ["Esc", "back"],
];

const OF_PICTURES = ["V", "S", "G", "P"];

function Shortcuts({ pictures }: { pictures: boolean }) {
    const [on, setOn] = useState(shortcutsOn());
    return (
        <>
            <label class="check">
                <input
                    type="checkbox"
                    checked={on}
                    onChange={(event) => {
                        setOn(event.currentTarget.checked);
                        setShortcuts(event.currentTarget.checked);
                    }}
                />
                Single keys press buttons
            </label>
            {on && (
                <dl class="keys">
                    {KEYS.filter(([key]) => pictures || !OF_PICTURES.includes(key)).map(([key, what]) => (
                        <div key={key}>
                            <dt>{key}</dt>
                            <dd>{what}</dd>
                        </div>
                    ))}
                </dl>
            )}
        </>
    );
}
