// Bytes and their texts. WebCrypto wants views over plain ArrayBuffers, hence `Bytes`.

export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();

export function utf8(text: string): Bytes {
    return encoder.encode(text);
}

export function concat(...parts: Uint8Array[]): Bytes {
    const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
        out.set(part, at);
        at += part.length;
    }
    return out;
}

/** Standard alphabet, no padding: the form of Matrix. */
export function toBase64(bytes: Uint8Array): string {
    let binary = "";
    for (const byte of bytes) binary += String.fromCharCode(byte);
    return btoa(binary).replace(/=+$/, "");
}

/** Returns null when the text is not unpadded (or padded) standard base64. */
export function fromBase64(text: string): Bytes | null {
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
    try {
        const binary = atob(text);
        return Uint8Array.from(binary, (c) => c.charCodeAt(0));
    } catch {
        return null;
    }
}

export function randomBytes(length: number): Bytes {
    return crypto.getRandomValues(new Uint8Array(length));
}

/** A random name over [A-Za-z0-9_-]: 16 bytes give 22 characters. */
export function randomName(bytes = 16): string {
    return toBase64(randomBytes(bytes)).replaceAll("+", "-").replaceAll("/", "_");
}

export function toHex(bytes: Uint8Array): string {
    return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

export function fromHex(hex: string): Bytes {
    return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
