import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { explain, type Trouble } from "../protocol/errors.ts";
import { reference } from "../protocol/reference.ts";
import { Icon, type IconName } from "./icons.tsx";

export function Brand() {
    return (
        <div class="brand">
            <img src="./favicon.svg" alt="" width="28" height="28" />
            <span>Sotto</span>
        </div>
    );
}

/** What is being done, in plain words; read out by screen readers when it changes. */
export function Waiting({ status, children }: { status: string; children?: ComponentChildren }) {
    return (
        <main class="centre">
            <div class="progress">
                <span class="spinner" aria-hidden="true" />
                <p role="status" aria-live="polite">
                    {status}
                </p>
                {children}
            </div>
        </main>
    );
}

/** Cause and next step, with what can be done right here. */
export function Problem({ trouble, children }: { trouble: Trouble | null; children?: ComponentChildren }) {
    if (!trouble) return null;
    const { cause, next } = explain(trouble.code, trouble.message);
    // What the server says of itself helps where our own sentence cannot know more.
    const detail = trouble.code === "internal" && trouble.message !== cause ? trouble.message : "";
    return (
        <div class="problem" role="alert">
            <Icon name="warning" />
            <div>
                <p class="cause">{cause}</p>
                <p>{next}</p>
                {detail && <p class="detail">{detail}</p>}
                {children && <div class="row">{children}</div>}
            </div>
        </div>
    );
}

/** What people read out to whoever runs the server, who finds their call by it. */
export function CallNumber({ callId }: { callId: string | null }) {
    const [number, setNumber] = useState("");
    useEffect(() => void (callId !== null && reference(callId).then(setNumber)), [callId]);
    return number ? <p class="hint call-number">Call number {number}: whoever runs the server can look it up.</p> : null;
}

interface RoundProps {
    icon: IconName;
    label: string;
    pressed?: boolean;
    expanded?: boolean;
    tone?: "danger" | "off" | "on";
    /** The key that presses it. */
    shortcut?: string;
    onClick: () => void;
}

/** Its label says what pressing it does, so it needs no pressed state unless it has one name for both. */
export function Round({ icon, label, pressed, expanded, tone, shortcut, onClick }: RoundProps) {
    return (
        <button
            class={`round ${tone ?? ""}`}
            aria-label={label}
            title={shortcut ? `${label} (${shortcut.toUpperCase()})` : label}
            aria-pressed={pressed}
            aria-expanded={expanded}
            aria-keyshortcuts={shortcut}
            data-key={shortcut}
            onClick={onClick}
        >
            <Icon name={icon} size={24} />
        </button>
    );
}

const IS_FIREFOX = CSS.supports("-moz-appearance", "none");

/** One track in a video element that outlives changes around it. */
export function Picture({ track, mirrored, hidden }: { track: MediaStreamTrack | null; mirrored?: boolean; hidden?: boolean }) {
    const element = useRef<HTMLVideoElement>(null);
    useEffect(() => {
        const video = element.current;
        if (!video) return;
        if (!track) return void (video.srcObject = null);
        // Within one stream: the last picture stays until the next track's first. Firefox goes on with the first track's size.
        const stream = !IS_FIREFOX && video.srcObject instanceof MediaStream ? video.srcObject : new MediaStream();
        stream.addTrack(track);
        for (const other of stream.getTracks()) if (other !== track) stream.removeTrack(other);
        if (video.srcObject !== stream) video.srcObject = stream;
        video.play().catch(() => undefined);
    }, [track]);
    return <video ref={element} class={mirrored ? "mirrored" : ""} hidden={hidden || !track} autoplay playsinline muted aria-hidden="true" />;
}

/** Initials on a colour that stays the same for a person. */
export function Avatar({ name, id }: { name: string; id: string }) {
    let hash = 0;
    for (const char of id) hash = (hash * 31 + char.codePointAt(0)!) >>> 0;
    const initials = name
        .replace(/^@/, "")
        .split(/[\s._-]+/)
        .slice(0, 2)
        .map((word) => [...word][0] ?? "")
        .join("")
        .toUpperCase();
    return (
        <div class="avatar" aria-hidden="true">
            {/* Drawn by the style sheet: it is a picture of the name, and no text of the page. */}
            <span data-initials={initials} style={{ background: `hsl(${hash % 360} 28% 34%)` }} />
        </div>
    );
}
