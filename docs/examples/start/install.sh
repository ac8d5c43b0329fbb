npm install --global transmla
