// SPDX-License-Identifier: GPL-2.0-only
/* See setting.h. */
#include <stdbool.h>
#include <stdlib.h>

#include "log.h"
#include "setting.h"

#define OUR_OPTIONS "kvm_vgic."
#define CLOCK_OPTION OUR_OPTIONS "clock"
#define CLOCK_VARIABLE "KVM_VGIC_CLOCK"

static const char *const clock_names[] = { [CLOCK_CONTINUE] = "continue", [CLOCK_ADVANCE] = "advance" };

/* A value, and by what it was given; NULL where nothing was said. */
struct choice {
	const char *by, *value;
};

/* CRIU's list of options without its made-up first one, those of other plugins too: how many, or -errno. */
static int read_options(char ***options)
{
	int argc = 1, ret = criu_plugin_get_options ? criu_plugin_get_options(&argc, options) : 0;

	(*options)++;
	return ret ?: argc - 1;
}

/* As it was given: CRIU has put "--" in front. */
static const char *option_text(const char *option)
{
	return option + strlen("--");
}

static bool is_named(const char *text, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(text, name, n) && (!text[n] || text[n] == '=');
}

/* The last option, or else the variable. */
static struct choice choose_clock(void)
{
	struct choice choice = { CLOCK_VARIABLE, getenv(CLOCK_VARIABLE) };
	char *none[1], **options = none;
	int n = read_options(&options);

	for (int i = 0; i < n; i++) {
		const char *text = option_text(options[i]), *value = strchr(text, '=');

		if (is_named(text, CLOCK_OPTION))
			choice = (struct choice){ "--plugin-option " CLOCK_OPTION, value ? value + 1 : "" };
	}
	return choice;
}

/* The place of what was chosen in clock_names, or -1. */
static int find_clock(struct choice choice)
{
	if (!choice.value)
		return CLOCK_CONTINUE;
	for (int i = 0; i < (int)(sizeof(clock_names) / sizeof(clock_names[0])); i++)
		if (!strcmp(choice.value, clock_names[i]))
			return i;
	return -1;
}

enum setting_clock setting_clock(void)
{
	return find_clock(choose_clock()) == CLOCK_ADVANCE ? CLOCK_ADVANCE : CLOCK_CONTINUE;
}

/* A name that is mistyped would leave the default. */
static int check_names(void)
{
	char *none[1], **options = none;
	int n = read_options(&options);

	if (n < 0)
		pr_err("cannot read the options of plugins: errno %d (%s)\n", -n, strerror(-n));
	for (int i = 0; i < n; i++) {
		const char *text = option_text(options[i]);

		if (strncmp(text, OUR_OPTIONS, strlen(OUR_OPTIONS)) || is_named(text, CLOCK_OPTION))
			continue;
		pr_err("--plugin-option %s is not known: %s expected\n", text, CLOCK_OPTION);
		return -EINVAL;
	}
	return n < 0 ? n : 0;
}

int setting_check(void)
{
	struct choice clock = choose_clock();

	if (check_names())
		return -EINVAL;
	if (find_clock(clock) >= 0)
		return 0;
	pr_err("%s=%s is not known: \"%s\" or \"%s\" expected\n", clock.by, clock.value,
	       clock_names[CLOCK_CONTINUE], clock_names[CLOCK_ADVANCE]);
	return -EINVAL;
}
