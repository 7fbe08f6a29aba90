import assert from "node:assert/strict";
import { it } from "node:test";
import { reference } from "../src/protocol/reference.ts";

it("a call's number is made of its id as the server makes it", async () => {
    // Also in tests/protocol/test_callbook.py.
    assert.equal(await reference("1732358400-abc"), "S6B-S3R");
});
