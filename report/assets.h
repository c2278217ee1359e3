// SPDX-License-Identifier: Apache-2.0
// Texts of the page, made by the build.
#pragma once

namespace bitcycle::report {

extern const char* const kPage;
extern const char* const kStyle;
extern const char* const kScript;
extern const char* const kChartLibrary;  // Chart.js, MIT licence

}  // namespace bitcycle::report
