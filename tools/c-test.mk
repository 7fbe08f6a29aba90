# Compiles the C tests for tools/c-test.sh; BACKEND is openssl or ipsec-mb. Only what changed is compiled.
OUT := build/c-test/$(BACKEND)
CFLAGS := -std=gnu11 -O1 -g -D_GNU_SOURCE -Ifastpath -Itests/fastpath/c \
	-Wall -Wextra -Wconversion -Wshadow -Werror \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDLIBS := -lcrypto -lpthread -lm
ifeq ($(BACKEND),ipsec-mb)
CFLAGS += -DSOTTO_HAVE_IPSEC_MB=1
LDLIBS := -lIPSec_MB $(LDLIBS)
endif
CORE := $(patsubst fastpath/%.c,$(OUT)/core/%.o,$(sort $(wildcard fastpath/*.c)))
# Anything else in the tests' folder is help shared by the tests.
HELP := $(patsubst tests/fastpath/c/%.c,$(OUT)/help/%.o,$(filter-out tests/fastpath/c/test_%,$(sort $(wildcard tests/fastpath/c/*.c))))
TESTS := $(patsubst tests/fastpath/c/%.c,$(OUT)/%,$(sort $(wildcard tests/fastpath/c/test_*.c)))

all: $(TESTS)

$(OUT)/core/%.o: fastpath/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -c $< -o $@

$(OUT)/help/%.o: tests/fastpath/c/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -c $< -o $@

$(OUT)/test_%: tests/fastpath/c/test_%.c $(CORE) $(HELP)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MF $@.d $< $(CORE) $(HELP) -o $@ $(LDLIBS)

-include $(wildcard $(OUT)/*.d $(OUT)/core/*.d $(OUT)/help/*.d)
.PHONY: all
.SECONDARY:
