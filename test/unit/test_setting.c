// SPDX-License-Identifier: GPL-2.0-only
/* What a user has chosen, by options of CRIU 4.3 or by variables. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "setting.h"
#include "testlog.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MOST 4

/* criu's, and whether it fails */
static char *options[MOST + 2] = { "criu-plugin" };
static int options_error;

int criu_plugin_get_options(int *argc, char ***argv)
{
	if (options_error)
		return options_error;
	for (*argc = 0; options[*argc];)
		(*argc)++;
	*argv = options;
	return 0;
}

/* What was said, and what comes of it: a clock, or an error. */
struct choice {
	char *variable;
	char *options[MOST];
	enum setting_clock clock;
	const char *error;
};

static void check(const struct choice *choice)
{
	unsetenv("KVM_VGIC_CLOCK");
	if (choice->variable)
		setenv("KVM_VGIC_CLOCK", choice->variable, 1);
	for (size_t i = 0; i < MOST; i++)
		options[i + 1] = choice->options[i];
	log_reset();
	assert_int_equal(setting_check(), choice->error ? -EINVAL : 0);
	assert_int_equal(log_errors(), !!choice->error);
	assert_string_equal(log_error(), choice->error ?: "");
	/* Were it asked in spite of an error, nothing is made up. */
	assert_int_equal(setting_clock(), choice->clock);
}

static void what_can_be_set_is_understood(void **state)
{
	static const struct choice choices[] = {
		{ NULL, {}, CLOCK_CONTINUE, NULL },
		{ "continue", {}, CLOCK_CONTINUE, NULL },
		{ "advance", {}, CLOCK_ADVANCE, NULL },
		{ NULL, { "--kvm_vgic.clock=continue" }, CLOCK_CONTINUE, NULL },
		{ NULL, { "--kvm_vgic.clock=advance" }, CLOCK_ADVANCE, NULL },
	};

	for (size_t i = 0; i < COUNT(choices); i++)
		check(&choices[i]);
}

static void the_last_option_is_valid_and_goes_before_the_variable(void **state)
{
	static const struct choice choices[] = {
		{ "advance", { "--kvm_vgic.clock=continue" }, CLOCK_CONTINUE, NULL },
		{ "never", { "--kvm_vgic.clock=advance" }, CLOCK_ADVANCE, NULL },
		{ NULL, { "--kvm_vgic.clock=continue", "--kvm_vgic.clock=advance" }, CLOCK_ADVANCE, NULL },
		{ NULL, { "--kvm_vgic.clock=advance", "--cuda_plugin.backend=x", "--kvm_vgic.clock=continue" },
		  CLOCK_CONTINUE, NULL },
	};

	for (size_t i = 0; i < COUNT(choices); i++)
		check(&choices[i]);
}

static void options_of_other_plugins_are_theirs(void **state)
{
	static const struct choice choices[] = {
		{ NULL, { "--cuda_plugin.clock=advance", "--kvm_vgic2.clock=advance", "--kvm.vgic.clock=advance" },
		  CLOCK_CONTINUE, NULL },
		{ NULL, { "--x.kvm_vgic.clock=advance", "--kvm_vgic" }, CLOCK_CONTINUE, NULL },
	};

	for (size_t i = 0; i < COUNT(choices); i++)
		check(&choices[i]);
}

#define NOT_KNOWN " is not known: \"continue\" or \"advance\" expected"

static void what_cannot_be_set_is_refused(void **state)
{
	static const struct choice choices[] = {
		{ "", {}, CLOCK_CONTINUE, "KVM_VGIC_CLOCK=" NOT_KNOWN },
		{ "Advance", {}, CLOCK_CONTINUE, "KVM_VGIC_CLOCK=Advance" NOT_KNOWN },
		{ "advance ", {}, CLOCK_CONTINUE, "KVM_VGIC_CLOCK=advance " NOT_KNOWN },
		{ "adv", {}, CLOCK_CONTINUE, "KVM_VGIC_CLOCK=adv" NOT_KNOWN },
		{ NULL, { "--kvm_vgic.clock" }, CLOCK_CONTINUE, "--plugin-option kvm_vgic.clock=" NOT_KNOWN },
		{ NULL, { "--kvm_vgic.clock=" }, CLOCK_CONTINUE, "--plugin-option kvm_vgic.clock=" NOT_KNOWN },
		{ "advance", { "--kvm_vgic.clock=1" }, CLOCK_CONTINUE, "--plugin-option kvm_vgic.clock=1" NOT_KNOWN },
		{ NULL, { "--kvm_vgic.clock=continue=advance" }, CLOCK_CONTINUE,
		  "--plugin-option kvm_vgic.clock=continue=advance" NOT_KNOWN },
	};

	for (size_t i = 0; i < COUNT(choices); i++)
		check(&choices[i]);
}

static void an_option_of_another_name_is_refused(void **state)
{
	static const struct choice choices[] = {
		{ NULL, { "--kvm_vgic.clok=advance" }, CLOCK_CONTINUE,
		  "--plugin-option kvm_vgic.clok=advance is not known: kvm_vgic.clock expected" },
		{ NULL, { "--kvm_vgic.clocks=advance" }, CLOCK_CONTINUE,
		  "--plugin-option kvm_vgic.clocks=advance is not known: kvm_vgic.clock expected" },
		{ NULL, { "--kvm_vgic.clock=advance", "--kvm_vgic.CLOCK" }, CLOCK_ADVANCE,
		  "--plugin-option kvm_vgic.CLOCK is not known: kvm_vgic.clock expected" },
	};

	for (size_t i = 0; i < COUNT(choices); i++)
		check(&choices[i]);
}

static void options_that_cannot_be_read_are_an_error(void **state)
{
	static const struct choice choice = { "continue", {}, CLOCK_CONTINUE,
		"cannot read the options of plugins: errno 12 (Cannot allocate memory)" };

	options_error = -ENOMEM;
	check(&choice);
	options_error = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_can_be_set_is_understood),
		cmocka_unit_test(the_last_option_is_valid_and_goes_before_the_variable),
		cmocka_unit_test(options_of_other_plugins_are_theirs),
		cmocka_unit_test(what_cannot_be_set_is_refused),
		cmocka_unit_test(an_option_of_another_name_is_refused),
		cmocka_unit_test(options_that_cannot_be_read_are_an_error),
	};

	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
