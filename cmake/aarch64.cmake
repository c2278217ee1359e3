# SPDX-License-Identifier: Apache-2.0
# Cross-compiles for 64-bit ARM with Debian's compiler; ./run-tests --aarch64 uses it. BITCYCLE_SYSROOT is a folder with
# Debian's arm64 libraries: they are found there alone, and qemu-aarch64 runs programs with them.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES BITCYCLE_SYSROOT)
if(NOT IS_DIRECTORY "${BITCYCLE_SYSROOT}/usr/include")
  message(FATAL_ERROR "BITCYCLE_SYSROOT is '${BITCYCLE_SYSROOT}': a folder with Debian's arm64 libraries; ./run-tests --aarch64 makes one")
endif()
set(CMAKE_FIND_ROOT_PATH "${BITCYCLE_SYSROOT}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# The linker follows a library's own libraries (libtbb's, libhwloc's) there, too.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,-rpath-link,${BITCYCLE_SYSROOT}/usr/lib/aarch64-linux-gnu:${BITCYCLE_SYSROOT}/lib/aarch64-linux-gnu")
set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-aarch64;-L;${BITCYCLE_SYSROOT}")
# Headers that differ by architecture (libjpeg-turbo's jconfig.h) lie in a folder of their own; last, so that the
# compiler's C library stays the compiler's.
set(CMAKE_CXX_FLAGS_INIT "-idirafter \"${BITCYCLE_SYSROOT}/usr/include/aarch64-linux-gnu\"")
