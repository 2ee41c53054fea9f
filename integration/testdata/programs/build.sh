# needs: make gcc python3
# Builds and trees of packages: many small files made, read, renamed and removed.
work() {
  mkdir make; cd make
  for i in $(seq 150); do echo "$i" > "in$i"; done
  printf 'ins := $(wildcard in*)\nall: $(ins:in%%=out%%) sum\nout%%: in%%\n\t@sed s/^/made/ $< > $@.tmp && mv $@.tmp $@\nsum: $(ins:in%%=out%%)\n\t@cat $^ | sort > $@\n' > Makefile
  make -s -j4
  same "second make" "$(make all)" "make: Nothing to be done for 'all'."
  touch in7; same "to be made again" "$(make -n all | grep -c sed)" 1; make -s; make -q all || die "make would build again"
  cd ..

  printf '#include "part.h"\nint main(void) { return part() - 7; }\n' > main.c
  printf 'int part(void);\n' > part.h; printf '#include "part.h"\nint part(void) { return 7; }\n' > part.c
  gcc -g -o program main.c part.c; ./program; gcc -c part.c; ar rc libpart.a part.o; gcc -o linked main.c libpart.a; ./linked
  gcc -shared -fPIC -o libpart.so part.c; gcc -o dynamic main.c -L. -lpart; LD_LIBRARY_PATH=. ./dynamic

  /usr/bin/python3 -m venv --without-pip venv
  echo 'answer = 42' > "$(echo venv/lib/python3*/site-packages)/mine.py"
  PYTHONDONTWRITEBYTECODE= venv/bin/python3 -c 'import mine; assert mine.answer == 42'
  PYTHONDONTWRITEBYTECODE= venv/bin/python3 -m compileall -q venv/lib

  deep=node_modules
  for i in $(seq 25); do deep=$deep/package-$i/node_modules; mkdir -p "$deep/.bin"; echo "{\"name\": \"p$i\"}" > "${deep%/*}/package.json"; ln -sf ../package.json "$deep/.bin/p"; done
  same packages "$(find node_modules -name package.json | wc -l)" 25
  cp -a node_modules copy; mv copy .staging; rm -rf node_modules; mv .staging node_modules; rm -rf node_modules/package-1/node_modules/package-2/node_modules/package-3
  same "packages left" "$(find node_modules -name package.json | wc -l)" 2
}

again() {
  make -C make -q all || die "make would build again"
  ./program; LD_LIBRARY_PATH=. ./dynamic
  same "made with the venv" "$(tail -1 venv/lib/python3*/site-packages/mine.py)" 'answer = 42'
}
