import { useEffect, useState } from "preact/hooks";
import type { App } from "../app.ts";
import { canChooseSpeaker, type Choice, type Device } from "../call/localmedia.ts";
import type { Kind } from "../call/peer.ts";
import { Round } from "./parts.tsx";

export function Toggle({ app, kind, shortcut }: { app: App; kind: Kind; shortcut?: string }) {
    // Asked again when it is pressed: what was drawn may be a moment old.
    const isOn = () => app.media.wanted[kind] && app.media.tracks[kind] !== null;
    const on = isOn();
    const device = kind === "audio" ? "microphone" : "camera";
    const icon = kind === "audio" ? (on ? "mic" : "micOff") : on ? "camera" : "cameraOff";
    return (
        <Round
            icon={icon}
            label={on ? `Turn ${device} off` : `Turn ${device} on`}
            shortcut={shortcut}
            tone={on ? undefined : "off"}
            onClick={() => void app.media.setOn(kind, !isOn())}
        />
    );
}

/** Microphone, camera and, where the browser lets people choose, loudspeaker. */
export function Devices({ app, pictures }: { app: App; pictures: boolean }) {
    return (
        <>
            <DeviceChoice app={app} device="audio" label="Microphone" />
            {pictures && <DeviceChoice app={app} device="video" label="Camera" />}
            {canChooseSpeaker && <DeviceChoice app={app} device="speaker" label="Loudspeaker" />}
        </>
    );
}

function DeviceChoice({ app, device, label }: { app: App; device: Device; label: string }) {
    const { media } = app;
    const [choices, setChoices] = useState<Choice[]>([]);
    const track = device === "speaker" ? null : media.tracks[device];
    // Names of devices are told only once one of them was allowed.
    const allowed = media.tracks.audio !== null || media.tracks.video !== null;
    useEffect(() => {
        const list = () => void media.choices(device).then(setChoices);
        list();
        navigator.mediaDevices.addEventListener("devicechange", list);
        return () => navigator.mediaDevices.removeEventListener("devicechange", list);
    }, [media, device, track, allowed]);
    if (device === "speaker" && choices.length === 0) return null;
    const chosen = device === "speaker" ? (media.speaker ?? choices[0]?.deviceId ?? "") : (media.chosen[device] ?? track?.getSettings().deviceId ?? "");
    const problem = device === "speaker" ? null : media.problem[device];
    const choose = (deviceId: string) => (device === "speaker" ? media.chooseSpeaker(deviceId) : void media.choose(device, deviceId));
    return (
        <label>
            {label}
            <select value={chosen} disabled={choices.length === 0} onChange={(e) => choose(e.currentTarget.value)}>
                {choices.length === 0 && <option value="">None found</option>}
                {choices.map((choice) => (
                    <option key={choice.deviceId} value={choice.deviceId}>
                        {choice.label}
                    </option>
                ))}
            </select>
            {problem && (
                <small class="note" role="alert">
                    {problem}
                </small>
            )}
        </label>
    );
}
