// Small checks over untrusted JSON. One way to fail: Malformed.

import { MAX_MEMBER_NUMBER } from "./limits.ts";
import { SOURCES, type Source } from "./names.ts";

export class Malformed extends Error {
    constructor(what: string) {
        super(what);
        this.name = "Malformed";
    }
}

export type Json = Record<string, unknown>;

export function object(value: unknown, what: string): Json {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Malformed(`${what}: not an object`);
    return value as Json;
}

export function array(value: unknown, max: number, what: string): unknown[] {
    if (!Array.isArray(value) || value.length > max) throw new Malformed(`${what}: not an array of at most ${max}`);
    return value;
}

export function text(value: unknown, max: number, what: string): string {
    if (typeof value !== "string" || value.length === 0 || value.length > max) {
        throw new Malformed(`${what}: not a text of 1 to ${max} characters`);
    }
    return value;
}

export function integer(value: unknown, min: number, max: number, what: string): number {
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
        throw new Malformed(`${what}: not a whole number from ${min} to ${max}`);
    }
    return value;
}

export function boolean(value: unknown, what: string): boolean {
    if (typeof value !== "boolean") throw new Malformed(`${what}: not true or false`);
    return value;
}

/** An own property of an object that came from outside: never something inherited such as `constructor`. */
export function own(record: Json, key: string): unknown {
    return Object.hasOwn(record, key) ? record[key] : undefined;
}

export function memberNumber(value: unknown): number {
    return integer(value, 1, MAX_MEMBER_NUMBER, "member");
}

export function isSource(value: unknown): value is Source {
    return (SOURCES as readonly unknown[]).includes(value);
}
