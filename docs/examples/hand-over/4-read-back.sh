# needs: test -d mla-trained
# #region read
transmla inspect ./mla-trained
transmla compare sample ./mla-trained --max-tokens 1000
# #endregion read
