/* What tests of sealed sources have in common: rows and packets of a microphone and a camera. The inner layer is opaque here. */
#ifndef SOTTO_SEALED_SENDING_H
#define SOTTO_SEALED_SENDING_H

#include "scene.h"

enum { AUDIO_SSRC = 0xa0000, VIDEO_SSRC = 0xb0000, VIDEO_RTX = 0xc0000 };

/* Makes sealed ones of two sources that are there. */
void sealed_rows(struct scene *scene, uint32_t audio, uint32_t video);
/* `length` bytes and behind them `ohb`, hexadecimal; the length of all. */
size_t sealed_payload(uint8_t *out, size_t length, const char *ohb);
/* 100 bytes of member 0, with two CSRCs and inner padding. */
void sealed_audio(struct scene *scene, uint64_t index, const char *ohb);
/* A frame of two packets of member 0. */
void sealed_frame(struct scene *scene, uint32_t encoding, uint64_t index, uint16_t frame, bool key);

#endif
