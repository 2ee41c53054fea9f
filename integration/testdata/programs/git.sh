# needs: git
# A repository of some hundred files, its clones, packs and worktrees.
work() {
  git config --global user.email walfs@example.org; git config --global user.name walfs; git config --global init.defaultBranch main
  git init -q repo; cd repo
  for i in $(seq 300); do mkdir -p "d$((i % 17))"; seq "$i" $((i * 3)) > "d$((i % 17))/f$i"; done
  git add -A; git commit -qm one
  nothing git status --porcelain
  : > .git/index.lock; ! git add d1 2> /dev/null || die "git took an index that is locked"; rm .git/index.lock
  for i in $(seq 5); do echo "$i" >> d1/f1; git commit -qam "change $i"; git tag "t$i"; git branch "b$i"; done
  echo stashed >> d2/f2; git stash -q; nothing git status --porcelain; git stash pop -q; grep -q stashed d2/f2; git checkout -q .
  git worktree add -q ../tree b2; echo in the tree > ../tree/new; git -C ../tree add new; git -C ../tree commit -qm "from the tree"
  git pack-refs --all; git fsck --full --strict
  git gc -q --aggressive --prune=now; git fsck --full
  git mv d3 moved; git commit -qm moved; git rebase -q b1 2> /dev/null || git rebase --abort; git merge -q b2 -m merged
  cd ..
  git clone -q --no-hardlinks repo clone; git clone -q repo linked; git clone -q --bare repo bare.git
  git -C clone fsck --full; git -C linked fsck --full; diff -r --exclude=.git repo clone
  echo pushed > linked/pushed; git -C linked add pushed; git -C linked commit -qm pushed
  git -C linked push -q ../bare.git main; git -C clone pull -q ../bare.git main; same pulled "$(cat clone/pushed)" pushed
}

again() {
  git config --global safe.directory '*'
  for r in repo clone linked bare.git; do git -C $r fsck --full --strict; done
  nothing git -C clone status --porcelain
  git clone -q bare.git "$TEMP/clone"; diff -r --exclude=.git clone "$TEMP/clone"
}
