# Settings every target shares, and the three functions with which folders declare themselves.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(CCACHE ccache)
if(CCACHE)
  # Relative paths, so that another checkout of the same sources hits the same cache.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()

find_package(Threads REQUIRED)

# ballast_options carries the warnings and the machine; it is linked privately by every target.
add_library(ballast_options INTERFACE)
target_include_directories(ballast_options INTERFACE "${CMAKE_SOURCE_DIR}" "${CMAKE_BINARY_DIR}")
# Kernels have a compiler of their own, which knows none of these.
function(ballast_cxx_options)
  foreach(option IN LISTS ARGN)
    target_compile_options(ballast_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${option}>")
  endforeach()
endfunction()
target_compile_options(ballast_options INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings>"
                       "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>")
ballast_cxx_options(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
                    -Wimplicit-fallthrough -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms of gcc 12 inside its own AVX-512 intrinsics (GCC bug 105593).
  ballast_cxx_options(-Wno-maybe-uninitialized -Wno-uninitialized)
endif()
# -ffp-contract=off: an element must get the same bits wherever a span is cut, so the compiler may
# not fuse a*b+c in a vector body and leave it apart in the tail. Kernels that want FMA say so.
ballast_cxx_options(-ffp-contract=off -fno-fast-math)
# The processor a target is compiled for; the modules of a portable build have one each.
define_property(TARGET PROPERTY BALLAST_MARCH INITIALIZE_FROM_VARIABLE BALLAST_MARCH)
if(BALLAST_NATIVE)
  set(BALLAST_MARCH native)
elseif(NOT CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  message(FATAL_ERROR "BALLAST_NATIVE=OFF: portable builds are for x86_64, this is "
                      "${CMAKE_SYSTEM_PROCESSOR}; leave it ON")
else()
  set(BALLAST_MARCH x86-64-v3)
  # DT_RPATH: unlike DT_RUNPATH it also serves what a library needs, and dlopen.
  target_link_options(ballast_options INTERFACE -Wl,--disable-new-dtags)
  set(CMAKE_BUILD_RPATH "${CMAKE_BINARY_DIR}/lib")
endif()
ballast_cxx_options(-march=$<TARGET_PROPERTY:BALLAST_MARCH>)
if(BALLAST_SANITIZE)
  ballast_cxx_options(-fsanitize=${BALLAST_SANITIZE} -fno-sanitize-recover=all
                      -fno-omit-frame-pointer -g -O1)
  target_link_options(ballast_options INTERFACE -fsanitize=${BALLAST_SANITIZE})
endif()
target_link_libraries(ballast_options INTERFACE Threads::Threads)

# ballast_library(NAME sources... LINK libraries... [PRIVATE_LINK libraries...])
# LINK is what the headers need (and thus the folder's allowed view of the house); PRIVATE_LINK is for
# vendor libraries that only this folder's sources see.
function(ballast_library name)
  cmake_parse_arguments(arg "" "" "LINK;PRIVATE_LINK" ${ARGN})
  add_library(${name} STATIC ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC ballast_options ${arg_LINK} PRIVATE ${arg_PRIVATE_LINK})
endfunction()

# ballast_module(NAME sources... MARCH processor EXPORTS script LINK libraries...)   a shared library
# that a portable program loads: build/<preset>/lib/<NAME>.so. Of its symbols only those of EXPORTS
# are seen, so nothing compiled for its processor can take the place of the program's own.
function(ballast_module name)
  cmake_parse_arguments(arg "" "MARCH;EXPORTS" "LINK" ${ARGN})
  add_library(${name} MODULE ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ballast_options ${arg_LINK})
  set(exports "${CMAKE_CURRENT_SOURCE_DIR}/${arg_EXPORTS}")
  target_link_options(${name} PRIVATE "-Wl,--version-script=${exports}" -Wl,-z,defs)
  set_target_properties(${name} PROPERTIES
    BALLAST_MARCH ${arg_MARCH} LINK_DEPENDS "${exports}" CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON PREFIX "" SKIP_BUILD_RPATH ON
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
endfunction()

# ballast_binary(NAME sources... LINK libraries...)   lands in build/<preset>/bin
function(ballast_binary name)
  cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ballast_options ${arg_LINK})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
  if(NOT BALLAST_NATIVE)
    # Wherever the folder is put; what the programs need lies in lib/ beside bin/.
    set_target_properties(${name} PROPERTIES BUILD_RPATH "$ORIGIN/../lib")
  endif()
endfunction()

# ballast_test(NAME sources... LINK libraries... [LABELS labels...])   one ctest entry per binary
function(ballast_test name)
  cmake_parse_arguments(arg "" "" "LINK;LABELS" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ballast_options ${arg_LINK} GTest::gmock GTest::gtest_main)
  if(NOT BALLAST_NATIVE)
    # Also beside a lib/ elsewhere (bench/gpu/run --pack).
    set_target_properties(${name} PROPERTIES BUILD_RPATH "$ORIGIN/../lib;${CMAKE_BINARY_DIR}/lib")
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600)
  if(arg_LABELS)
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}")
  endif()
endfunction()

# ballast_schemas(NAME schema.fbs...)   generates build/schemas/<schema>_generated.h
function(ballast_schemas name)
  set(outputs)
  foreach(schema IN LISTS ARGN)
    get_filename_component(stem ${schema} NAME_WE)
    set(output "${CMAKE_BINARY_DIR}/schemas/${stem}_generated.h")
    add_custom_command(
      OUTPUT "${output}"
      COMMAND flatc --cpp --scoped-enums --warnings-as-errors -o "${CMAKE_BINARY_DIR}/schemas" "${schema}"
      DEPENDS "${schema}"
      COMMENT "flatc ${stem}.fbs")
    list(APPEND outputs "${output}")
  endforeach()
  add_custom_target(${name} DEPENDS ${outputs})
endfunction()

find_package(GTest REQUIRED)
