// How full the bar of a microphone is. Pure.

/** Quieter than this, dB below full scale, is shown as nothing. */
const FLOOR_DB = -55;

/** 0 to 1 for a mean square of samples. */
export function loudness(power: number): number {
    if (power <= 0) return 0;
    return Math.min(1, Math.max(0, 1 - (10 * Math.log10(power)) / FLOOR_DB));
}
