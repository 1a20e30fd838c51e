/* SPDX-License-Identifier: Apache-2.0
 * clock_os: the clock port on the operating system. Audience: shells. Any thread. */
#pragma once

#include "common/base/clock.h"

struct clock_port *clock_os(void);
