# SPDX-License-Identifier: MIT
# Toolchain file of the preset arm64: Debian's cross g++, the libraries of build/arm64-sysroot (scripts/arm64_sysroot.sh),
# test programs under qemu. QEMU_CPU says which processor it plays; ./test runs several. Unset it is "max", which has everything.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(tern_sysroot ${CMAKE_CURRENT_LIST_DIR}/../build/arm64-sysroot)
cmake_path(NORMAL_PATH tern_sysroot)

# Not CMAKE_SYSROOT: the C library is the compiler's own, in /usr/aarch64-linux-gnu.
set(CMAKE_FIND_ROOT_PATH ${tern_sysroot} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

# pkg-config sees the sysroot alone, and puts it before every path it answers.
set(ENV{PKG_CONFIG_LIBDIR} ${tern_sysroot}/usr/lib/aarch64-linux-gnu/pkgconfig:${tern_sysroot}/usr/share/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${tern_sysroot})

# Headers that differ between CPUs: Debian's compilers look into such a folder of the root file system only.
set(CMAKE_C_FLAGS_INIT "-idirafter ${tern_sysroot}/usr/include/aarch64-linux-gnu")
set(CMAKE_CXX_FLAGS_INIT "-idirafter ${tern_sysroot}/usr/include/aarch64-linux-gnu")

# Libraries that a shared library needs itself are found neither by the linker nor at run time alone.
set(tern_arm64_libraries ${tern_sysroot}/usr/lib/aarch64-linux-gnu:${tern_sysroot}/lib/aarch64-linux-gnu)
add_link_options(-Wl,-rpath-link,${tern_arm64_libraries})
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L /usr/aarch64-linux-gnu
    -E LD_LIBRARY_PATH=${tern_arm64_libraries})
