# needs: tar cpio zip unzip setfacl setfattr
# Archives made of a tree on the drive, and unpacked there.
work() {
  tree "$TEMP/src"
  cp -a "$TEMP/src" copied
  alike "$TEMP/src" copied
  cp -a --reflink=auto --sparse=always copied copied2
  alike copied copied2

  tar -C copied --xattrs --xattrs-include='*' --acls -S --numeric-owner -cf tar.tar .
  mkdir tar; tar -C tar --xattrs --xattrs-include='*' --acls -S --numeric-owner -xpf tar.tar
  alike copied tar
  tar -C tar --xattrs --acls -df tar.tar

  (cd copied && find . -depth -print0 | cpio -0 -o -H newc --quiet > ../cpio.cpio)
  mkdir cpio; (cd cpio && cpio -idm --quiet --no-absolute-filenames < ../cpio.cpio)
  diff -r --no-dereference --exclude=pipe --exclude=null copied cpio
  (cd copied && find . -depth -print0 | cpio -0 -pdm --quiet ../passed)
  diff -r --no-dereference --exclude=pipe --exclude=null copied passed

  (cd copied/a && zip -qry ../../zip.zip .)
  mkdir zip; (cd zip && unzip -q ../zip.zip)
  diff -r --no-dereference copied/a zip

  mv copied2 "$TEMP/moved"; alike copied "$TEMP/moved"
  mv "$TEMP/moved" back; alike copied back
}

again() {
  tar -C tar --xattrs --acls -df tar.tar
  alike copied tar
  unzip -tq zip.zip
}
