import { useEffect, useRef } from "preact/hooks";
import { loudness } from "./loudness.ts";

const LOOK_MS = 80;

/** How loud the microphone is: proof that the right one is chosen and works. */
export function Level({ track }: { track: MediaStreamTrack | null }) {
    const bar = useRef<HTMLSpanElement>(null);
    useEffect(() => {
        if (!track) return;
        const context = new AudioContext();
        const analyser = new AnalyserNode(context, { fftSize: 1024 });
        const source = context.createMediaStreamSource(new MediaStream([track]));
        source.connect(analyser);
        const samples = new Float32Array(analyser.fftSize);
        const timer = setInterval(() => {
            analyser.getFloatTimeDomainData(samples);
            const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
            const share = loudness(power);
            bar.current?.style.setProperty("--level", String(share));
            bar.current?.setAttribute("aria-valuenow", String(Math.round(100 * share)));
        }, LOOK_MS);
        // Until somebody clicks, browsers may keep it waiting.
        const wake = () => void context.resume().catch(() => undefined);
        wake();
        document.addEventListener("pointerdown", wake);
        return () => {
            clearInterval(timer);
            document.removeEventListener("pointerdown", wake);
            source.disconnect();
            void context.close().catch(() => undefined);
        };
    }, [track]);
    return <span ref={bar} class="level" role="meter" aria-label="Microphone level" aria-valuemin={0} aria-valuemax={100} aria-valuenow={0} hidden={!track} />;
}
