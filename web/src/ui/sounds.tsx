import { useEffect, useRef, useState } from "preact/hooks";
import type { Voice } from "../conference/received.ts";
import { Icon } from "./icons.tsx";

/** The voices, one for each slot. Browsers play them only after a click on the page; if there was none, one is asked for. */
export function Sounds({ voices, speaker }: { voices: Voice[]; speaker: string | null }) {
    const [blocked, setBlocked] = useState(false);
    const elements = useRef(new Map<string, HTMLAudioElement>());
    const playAll = () => {
        setBlocked(false);
        for (const audio of elements.current.values()) audio.play().catch(() => setBlocked(true));
    };
    return (
        <>
            {voices.map(({ receiver, track }) => (
                <Sound
                    key={receiver}
                    track={track}
                    speaker={speaker}
                    keep={(audio) => (audio ? elements.current.set(receiver, audio) : elements.current.delete(receiver))}
                    onBlocked={() => setBlocked(true)}
                />
            ))}
            {blocked && (
                <button class="primary unblock" onClick={playAll}>
                    <Icon name="sound" size={18} /> Turn sound on
                </button>
            )}
        </>
    );
}

interface SoundProps {
    track: MediaStreamTrack;
    speaker: string | null;
    keep: (audio: HTMLAudioElement | null) => void;
    onBlocked: () => void;
}

function Sound({ track, speaker, keep, onBlocked }: SoundProps) {
    const element = useRef<HTMLAudioElement>(null);
    useEffect(() => {
        keep(element.current);
        return () => keep(null);
    }, []);
    useEffect(() => {
        const audio = element.current;
        if (!audio) return;
        audio.srcObject = new MediaStream([track]);
        audio.play().catch((error: unknown) => error instanceof DOMException && error.name === "NotAllowedError" && onBlocked());
    }, [track]);
    useEffect(() => {
        // Where a browser cannot choose, sound goes where the system sends it.
        if (element.current && "setSinkId" in element.current) element.current.setSinkId(speaker ?? "").catch(() => undefined);
    }, [speaker]);
    return <audio ref={element} autoplay />;
}
